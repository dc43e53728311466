-- The refused publishers of all streams of a tenant, newest first.
CREATE INDEX refused_ingests_newest ON commodore.refused_ingests (tenant_id, refused_at DESC, id DESC);

"""GraphQL over HTTP and WebSocket, without a word about streams or tenants: documents in, results out."""

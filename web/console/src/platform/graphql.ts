// Queries and mutations over HTTP; an ended access cookie is renewed once, silently.
import { Failure, OFFLINE } from "./failure";
import { session } from "./session.svelte";

export type Variables = Record<string, unknown>;

interface GraphQLProblem {
  message: string;
  path?: (string | number)[];
  extensions?: { code?: string; incidentId?: string; field?: string };
}

export interface Body<T> {
  data?: T | null;
  errors?: GraphQLProblem[];
  message?: string;
}

/** Logs and metrics of the platform go by it. */
export function nameOf(document: string): string | undefined {
  return /^\s*(?:query|mutation|subscription)\s+(\w+)/m.exec(document)?.[1];
}

/** The answer as it came, errors and all. */
export async function send<T>(query: string, variables: Variables = {}): Promise<Body<T>> {
  let response: Response;
  try {
    response = await fetch("/graphql", {
      method: "POST",
      headers: { "content-type": "application/json", accept: "application/json", "x-frameworks-csrf": "1" },
      body: JSON.stringify({ query, variables, operationName: nameOf(query) }),
    });
  } catch {
    throw OFFLINE;
  }
  const body = (await response.json().catch(() => null)) as Body<T> | null;
  if (body) return body;
  throw new Failure("The platform did not answer. Try again in a moment.", String(response.status));
}

/** The data; raises Failure for the first error that left nothing to show. */
export async function query<T>(document: string, variables: Variables = {}): Promise<T> {
  let body = await send<T>(document, variables);
  if (isUnauthorized(body) && (await session.renew())) body = await send<T>(document, variables);
  const first = body.errors?.[0];
  if (first && (!body.data || isUnauthorized(body))) throw failure(first);
  if (!body.data) throw new Failure(body.message ?? "The platform gave no answer.", "EMPTY");
  return body.data;
}

interface Refused {
  __typename: string;
  message?: string;
  code?: string | null;
  field?: string | null;
}

/** The one result of a mutation; an answer of an error type is raised as Failure. */
export async function change<T>(document: string, variables: Variables): Promise<T> {
  const data = await query<Record<string, Refused>>(document, variables);
  const result = Object.values(data)[0];
  if (!result) throw new Failure("The platform gave no answer.", "EMPTY");
  if (result.__typename.endsWith("Error")) {
    throw new Failure(result.message ?? "This was refused.", result.code ?? result.__typename, result.field ?? null);
  }
  return result as T;
}

function isUnauthorized(body: Body<unknown>): boolean {
  return body.errors?.some((error) => error.extensions?.code === "UNAUTHORIZED") ?? false;
}

function failure(problem: GraphQLProblem): Failure {
  const { code, incidentId, field } = problem.extensions ?? {};
  return new Failure(problem.message, code ?? "UNKNOWN", field ?? null, incidentId ?? null);
}

// Every address of the console and the page it shows.
import type { Component } from "svelte";

import type { Parameters } from "./platform/router.svelte";

export interface Page {
  path: string;
  title: string;
  /** member: for the signed-in; door: for those who are not; public: for everybody. */
  kind: "member" | "door" | "public";
  // eslint-disable-next-line @typescript-eslint/no-explicit-any
  load: () => Promise<{ default: Component<any> }>;
  /** Addresses with one key share one page, which stays as it is between them. */
  key?: (parameters: Parameters) => string;
}

const stream = (path: string): Page => ({
  path,
  title: "Stream",
  kind: "member",
  load: () => import("./pages/stream/Stream.svelte"),
  key: ({ id }) => `stream ${id}`,
});

export const pages: Page[] = [
  { path: "/", title: "Dashboard", kind: "member", load: () => import("./pages/Dashboard.svelte") },
  { path: "/streams", title: "Streams", kind: "member", load: () => import("./pages/Streams.svelte") },
  stream("/streams/:id"),
  stream("/streams/:id/:tab"),
  { path: "/developer", title: "Developer", kind: "member", load: () => import("./pages/developer/Developer.svelte"), key: () => "developer" },
  { path: "/developer/:tab", title: "Developer", kind: "member", load: () => import("./pages/developer/Developer.svelte"), key: () => "developer" },
  { path: "/nodes", title: "Nodes", kind: "member", load: () => import("./pages/Nodes.svelte") },
  { path: "/pipeline", title: "Pipeline", kind: "member", load: () => import("./pages/pipeline/Pipeline.svelte") },
  { path: "/account", title: "Account", kind: "member", load: () => import("./pages/Account.svelte") },
  { path: "/login", title: "Sign in", kind: "door", load: () => import("./pages/door/SignIn.svelte") },
  { path: "/register", title: "Create an account", kind: "door", load: () => import("./pages/door/Register.svelte") },
  { path: "/forgot", title: "Forgot your password?", kind: "door", load: () => import("./pages/door/Forgot.svelte") },
  { path: "/reset-password", title: "New password", kind: "public", load: () => import("./pages/door/Reset.svelte") },
  { path: "/verify", title: "Confirm your address", kind: "public", load: () => import("./pages/door/Verify.svelte") },
  { path: "/confirm-email", title: "Confirm your new address", kind: "public", load: () => import("./pages/door/ConfirmEmail.svelte") },
  { path: "/watch/:id", title: "", kind: "public", load: () => import("./pages/Watch.svelte") },
];

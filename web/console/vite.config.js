import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig } from "vite";

// The front serves the build under a policy without inline scripts or data: fonts, so nothing is inlined.
const front = process.env.CONSOLE_FRONT ?? "http://127.0.0.1:18090";

export default defineConfig({
  plugins: [svelte()],
  build: {
    outDir: process.env.CONSOLE_OUT ?? "../../src/frameworks/support/console/static",
    emptyOutDir: true,
    assetsInlineLimit: 0,
    target: "es2022",
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 700,
    rolldownOptions: { checks: { pluginTimings: false } },
  },
  server: {
    port: 5180,
    proxy: {
      "/graphql": { target: front, ws: true },
      "/auth": front,
      "/play": front,
      "/mail": front,
    },
  },
});

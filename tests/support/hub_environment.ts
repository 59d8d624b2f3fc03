/**
 * The environment in which tests meet a hub: what the machine's own says of one is taken away.
 *
 * @module
 */

/** What the environment may say about a hub: tests say it themselves. */
const VARIABLES = [
  ...["HF_ENDPOINT", "HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HUB_OFFLINE"],
  ...["HF_TOKEN", "HF_TOKEN_PATH"],
];
for (const name of VARIABLES) Deno.env.delete(name);

/** Runs a test in an environment that has a hub, and a home for its cache and token; words may be added. */
export async function inEnvironment(
  hub: { endpoint: string },
  home: string,
  test: () => Promise<void>,
  more: Record<string, string> = {},
): Promise<void> {
  const variables = { HF_ENDPOINT: hub.endpoint, HF_HOME: home, ...more };
  for (const [name, value] of Object.entries(variables)) Deno.env.set(name, value);
  try {
    await test();
  } finally {
    for (const name of Object.keys(variables)) Deno.env.delete(name);
  }
}

/** The folder of models and data beside the repository. */
export const shared: string = new URL("../../../shared/", import.meta.url).pathname;

const present = await Deno.stat(shared).then(() => true, () => false);

/** A test that reads from {@linkcode shared}: where it is absent, it says so and is skipped. */
export function sharedTest(name: string, fn: () => Promise<void>): void {
  if (!present) console.log(`skipped, since ${shared} is not there: ${name}`);
  Deno.test({ name, ignore: !present, fn });
}

/** Runs `use` with a fresh folder, and removes the folder. */
export function withFolder(use: (folder: string) => Promise<void>): Promise<void> {
  return withFolderIn(undefined, use);
}

/** The same with a folder in memory where there is one, for tests that write thousands of small files. */
export async function withMemoryFolder(use: (folder: string) => Promise<void>): Promise<void> {
  const memory = "/dev/shm";
  const isThere = await Deno.stat(memory).then(() => true, () => false);
  return await withFolderIn(isThere ? memory : undefined, use);
}

async function withFolderIn(
  dir: string | undefined,
  use: (folder: string) => Promise<void>,
): Promise<void> {
  const folder = await Deno.makeTempDir({ dir });
  try {
    await use(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

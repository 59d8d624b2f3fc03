/**
 * Whether a path exists, asked in several places before a file is opened or written.
 *
 * @module
 */

/**
 * Whether something is at `path`. What may not be accessed counts as existing: opening it reports
 * why not.
 */
export async function exists(path: string): Promise<boolean> {
  try {
    await Deno.stat(path);
    return true;
  } catch (error) {
    return !(error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory);
  }
}

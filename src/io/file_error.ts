import { FalqonError, FileError } from "../errors.ts";

/**
 * Turns whatever a file operation threw into a {@linkcode FileError} whose sentence names the
 * action, the path, the reason and the remedy. An error of this package passes through unchanged.
 *
 * @param action What was tried, as an infinitive: `"open"`, `"write"`.
 */
export function toFileError(action: string, path: string, error: unknown): FalqonError {
  if (error instanceof FalqonError) return error;
  return new FileError(`Cannot ${action} "${path}": ${reason(error)}`, { cause: error });
}

function reason(error: unknown): string {
  // Deno's own permission system, as opposed to the operating system's, has an error of its own
  // whose message names the flag to add.
  if (error instanceof Deno.errors.NotCapable) return error.message;
  switch (error instanceof Error ? (error as Error & { code?: string }).code : undefined) {
    case "ENOENT":
      return "there is no such file or folder; check the path";
    case "EACCES":
    case "EPERM":
      return "the operating system denies access; check the owner and the mode of the file";
    case "EISDIR":
      return "it is a folder; give the path of a file";
    case "ENOTDIR":
      return "a part of the path is a file, not a folder; check the path";
    case "ENOSPC":
    case "EDQUOT":
      return "the disk is full; free some space, or choose another folder, and run again";
    case "EROFS":
      return "the file system is read-only; choose another folder";
    case "EMFILE":
      return "too many files are open; raise the limit (ulimit -n)";
    default:
      return error instanceof Error ? error.message : String(error);
  }
}

import { basename, dirname, join } from "node:path";
import { toFileError } from "./file_error.ts";

/** What an atomically written file holds: the bytes, the text, or a function that writes them. */
export type FileContent = string | Uint8Array | ((file: Deno.FsFile) => Promise<void>);

/**
 * Writes a file so that its path holds the old content or the new one, never a part: the content
 * goes to a temporary file beside it, which is synced to the disk and then renamed into place.
 *
 * @throws {FileError} if the file cannot be written; the old one is then untouched, and no
 * temporary file is left.
 */
export async function writeFileAtomically(path: string, content: FileContent): Promise<void> {
  // A fixed name, so that what a killed process left behind is overwritten by the next attempt.
  const temporary = join(dirname(path), `.${basename(path)}.tmp`);
  try {
    {
      // Closed before the rename, which Windows wants.
      using file = await Deno.open(temporary, { write: true, create: true, truncate: true });
      if (typeof content === "function") await content(file);
      else await writeAll(file, typeof content === "string" ? encoder.encode(content) : content);
      await file.sync();
    }
    await Deno.rename(temporary, path);
    await syncFolder(dirname(path));
  } catch (error) {
    await Deno.remove(temporary).catch(() => {}); // it may never have been created
    throw toFileError("write", path, error);
  }
}

/** Writes all of `bytes`: one call of `write` may take only a part. */
export async function writeAll(file: Deno.FsFile, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.length;) done += await file.write(bytes.subarray(done));
}

/** Makes the names in a folder durable: a rename survives a power cut only after this. */
export async function syncFolder(path: string): Promise<void> {
  // Windows cannot open a folder as a file, and commits renames by itself.
  if (Deno.build.os === "windows") return;
  using folder = await Deno.open(path);
  await folder.sync();
}

const encoder = new TextEncoder();

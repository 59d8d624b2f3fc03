/**
 * What a program does to a folder on the disk, recorded operation by operation, to make of every prefix what a power cut
 * could leave: of what was not synced, any part may be missing.
 *
 * The rules are POSIX's, which promise less than most file systems keep: the bytes of a file last from its sync on, a name
 * in a folder from the sync of that folder on, and of the names that changed since then a power cut keeps those up to
 * any point, in each folder by itself. A name that moves into another folder is never lost: it may be in both.
 *
 * @module
 */

import { basename, dirname, join, resolve } from "node:path";

interface FileNode {
  kind: "file";
  /** Contents after each write, the empty one first. */
  versions: Uint8Array[];
  /** The version that a power cut leaves at least. */
  synced: number;
}

interface FolderNode {
  kind: "folder";
  changes: Change[];
  /** Those that a power cut leaves at least. */
  synced: number;
}

type Node = FileNode | FolderNode;

/** A change of names in a folder: all of it is kept, or none. */
interface Change {
  names: Map<string, Node | null>;
  /** Of a rename into another folder: the change there, which is kept wherever this one is. */
  needs?: { folder: FolderNode; count: number };
}

/** What a power cut leaves of what was not synced. */
export interface Loss {
  /** How many of `pending` versions of a file, or changes of a folder, are kept. */
  keep(pending: number, of: "bytes" | "names"): number;
  /** Whether the last write that is kept is cut in half. */
  tears(): boolean;
}

/** The kinds of power cut that are tried: everything kept is a killed process. */
export const LOSSES: Readonly<Record<string, Loss>> = {
  "nothing is kept": { keep: () => 0, tears: () => false },
  "everything is kept": { keep: (pending) => pending, tears: () => false },
  "names are kept": { keep: (pending, of) => of === "names" ? pending : 0, tears: () => false },
  "bytes are kept": { keep: (pending, of) => of === "bytes" ? pending : 0, tears: () => false },
};

/** A loss that differs from file to file. */
export function randomLoss(random: () => number): Loss {
  return {
    keep: (pending) => Math.floor(random() * (pending + 1)),
    tears: () => random() < 0.5,
  };
}

type Undo = () => void;

/** A recording of one folder, from its creation until it is disposed of. */
export class RecordedDisk implements Disposable {
  /** The name of each operation, in order. */
  readonly operations: string[] = [];
  readonly #root: string;
  readonly #tree: FolderNode = { kind: "folder", changes: [], synced: 0 };
  /** What takes each operation back. */
  readonly #before: Undo[][] = [];
  readonly #open = new WeakMap<
    Deno.FsFile,
    { node: FileNode | FolderNode; at: number; append: boolean }
  >();
  readonly #restore: Undo[] = [];
  #failAt = Infinity;

  /** Records what is done below a folder, which must exist and be empty. */
  constructor(root: string) {
    this.#root = resolve(root);
    this.#patch();
  }

  /** Lets an operation fail, by number from 0, as on a full disk: of a write a half is written. */
  failAt(operation: number): void {
    this.#failAt = operation;
  }

  [Symbol.dispose](): void {
    for (const undo of this.#restore.reverse()) undo();
  }

  /** Takes the last operation back. */
  undo(): void {
    this.operations.pop();
    for (const undo of this.#before.pop()!.toReversed()) undo();
  }

  /** Writes what a power cut now leaves into another folder. */
  leave(loss: Loss, folder: string): void {
    this.#write(this.#tree, keptChanges(this.#tree, loss), loss, folder);
  }

  #write(folder: FolderNode, kept: Map<FolderNode, number>, loss: Loss, path: string): void {
    const names = folder.changes.slice(0, kept.get(folder)).flatMap(({ names }) => [...names]);
    for (const [name, node] of new Map(names)) {
      const to = join(path, name);
      if (node === null) continue;
      if (node.kind === "folder") {
        Deno.mkdirSync(to);
        this.#write(node, kept, loss, to);
        continue;
      }
      const pending = node.versions.length - 1 - node.synced;
      const count = loss.keep(pending, "bytes");
      const bytes = node.versions[node.synced + count];
      const before = count > 0 ? node.versions[node.synced + count - 1] : bytes;
      const torn = count > 0 && loss.tears() && bytes.length > before.length;
      const length = torn ? before.length + ((bytes.length - before.length) >> 1) : bytes.length;
      REAL.writeFileSync(to, bytes.subarray(0, length));
    }
  }

  /** The node at a path; undefined where nothing is, or outside of the root. */
  #find(path: string | URL): Node | undefined {
    const relative = this.#relative(path);
    if (relative === null) return undefined;
    let node: Node | undefined | null = this.#tree;
    for (const name of relative === "" ? [] : relative.split("/")) {
      if (node?.kind !== "folder") return undefined;
      node = namesOf(node).get(name);
    }
    return node ?? undefined;
  }

  #relative(path: string | URL): string | null {
    const full = resolve(String(path));
    if (full === this.#root) return "";
    return full.startsWith(this.#root + "/") ? full.slice(this.#root.length + 1) : null;
  }

  #isInside(path: string | URL): boolean {
    return this.#relative(path) !== null;
  }

  /** Begins an operation, which may be the one that fails. */
  #begin(name: string): void {
    if (this.operations.length === this.#failAt) {
      this.#failAt = Infinity;
      throw Object.assign(new Error("No space left on device (os error 28)"), { code: "ENOSPC" });
    }
    this.operations.push(name);
    this.#before.push([]);
  }

  #change(
    path: string | URL,
    node: Node | null,
    { more, needs }: { more?: [string, Node | null]; needs?: Change["needs"] } = {},
  ): Change["needs"] {
    const folder = this.#find(dirname(resolve(String(path))));
    if (folder?.kind !== "folder") throw new Error(`recorded_disk: no folder above ${path}`);
    const names = new Map([[basename(String(path)), node]]);
    if (more) names.set(...more);
    const { length } = folder.changes;
    folder.changes.push({ names, needs });
    this.#before.at(-1)!.push(() => folder.changes.length = length);
    return { folder, count: folder.changes.length };
  }

  #sync(node: Node): void {
    const before = node.synced;
    node.synced = node.kind === "file" ? node.versions.length - 1 : node.changes.length;
    this.#before.at(-1)!.push(() => node.synced = before);
  }

  #version(node: FileNode, bytes: Uint8Array): void {
    const { length } = node.versions;
    node.versions.push(bytes);
    this.#before.at(-1)!.push(() => node.versions.length = length);
  }

  #put(node: FileNode, at: number, bytes: Uint8Array): void {
    const last = node.versions.at(-1)!;
    const next = new Uint8Array(Math.max(last.length, at + bytes.length));
    next.set(last);
    next.set(bytes, at);
    this.#version(node, next);
  }

  #created(path: string | URL): FileNode {
    const found = this.#find(path);
    if (found?.kind === "file") return found;
    this.#begin(`create ${this.#relative(path)}`);
    const node: FileNode = { kind: "file", versions: [new Uint8Array()], synced: 0 };
    this.#change(path, node);
    return node;
  }

  #opened(file: Deno.FsFile, path: string | URL, options: Deno.OpenOptions = {}): Deno.FsFile {
    const writes = options.write || options.append || options.truncate || makes(options);
    const found = writes ? this.#created(path) : this.#find(path);
    if (found === undefined) return file;
    if (options.truncate && found.kind === "file" && found.versions.at(-1)!.length > 0) {
      this.#begin(`truncate ${this.#relative(path)}`);
      this.#version(found, new Uint8Array());
    }
    this.#open.set(file, { node: found, at: 0, append: options.append === true });
    return file;
  }

  #removed(path: string | URL): void {
    const node = this.#find(path);
    if (node?.kind === "folder") {
      for (const [name, child] of namesOf(node)) if (child) this.#removed(join(String(path), name));
    }
    this.#begin(`remove ${this.#relative(path)}`);
    this.#change(path, null);
  }

  #renamed(from: string | URL, to: string | URL): void {
    const node = this.#find(from)!;
    this.#begin(`rename ${this.#relative(from)} to ${this.#relative(to)}`);
    if (dirname(resolve(String(from))) === dirname(resolve(String(to)))) {
      this.#change(to, node, { more: [basename(String(from)), null] });
    } else {
      this.#change(from, null, { needs: this.#change(to, node) });
    }
  }

  #patch(): void {
    const inside = (path: string | URL) => this.#isInside(path);
    const put = <T extends object, K extends keyof T>(owner: T, name: K, value: T[K]) => {
      const before = owner[name];
      this.#restore.push(() => owner[name] = before);
      owner[name] = value;
    };
    // An operation that fails must fail before it is done, so what it records comes first.
    put(Deno, "open", async (path, options) => {
      if (!inside(path)) return await REAL.open(path, options);
      if (makes(options) && this.#find(path) === undefined) this.#created(path);
      return this.#opened(await REAL.open(path, options), path, options);
    });
    put(Deno, "openSync", (path, options) => {
      if (!inside(path)) return REAL.openSync(path, options);
      if (makes(options) && this.#find(path) === undefined) this.#created(path);
      return this.#opened(REAL.openSync(path, options), path, options);
    });
    put(Deno, "mkdir", async (path, options) => {
      if (!inside(path)) return await REAL.mkdir(path, options);
      const missing: string[] = [];
      let at = resolve(String(path));
      for (; inside(at) && this.#find(at) === undefined; at = dirname(at)) missing.push(at);
      for (const folder of missing.reverse()) {
        this.#begin(`mkdir ${this.#relative(folder)}`);
        this.#change(folder, { kind: "folder", changes: [], synced: 0 });
      }
      await REAL.mkdir(path, options);
    });
    put(Deno, "rename", async (from, to) => {
      if (inside(from)) this.#renamed(from, to);
      await REAL.rename(from, to);
    });
    put(Deno, "remove", async (path, options) => {
      if (inside(path)) this.#removed(path);
      await REAL.remove(path, options);
    });
    put(Deno, "removeSync", (path, options) => {
      if (inside(path) && this.#find(path)) {
        const node = this.#find(path)!;
        const isFull = node.kind === "folder" && [...namesOf(node).values()].some(Boolean);
        if (!isFull || options?.recursive) this.#removed(path);
      }
      REAL.removeSync(path, options);
    });
    put(Deno, "writeFile", async (path, data, options) => {
      if (!inside(path)) return await REAL.writeFile(path, data, options);
      using file = await Deno.open(path, {
        write: true,
        create: true,
        truncate: true,
        ...options?.createNew && { createNew: true, create: false, truncate: false },
      });
      await file.write(data as Uint8Array);
    });
    put(Deno, "writeTextFile", async (path, text, options) => {
      await Deno.writeFile(path, new TextEncoder().encode(text as string), options);
    });
    put(Deno, "copyFile", async (from, to) => {
      if (!inside(to)) return await REAL.copyFile(from, to);
      await Deno.writeFile(to, await Deno.readFile(from));
    });
    for (const name of ["truncate", "link", "symlink", "utime", "makeTempDir"] as const) {
      put(Deno, name, () => {
        throw new Error(`recorded_disk: Deno.${name} is not simulated`);
      });
    }
    // deno-lint-ignore no-this-alias
    const disk = this;
    const { prototype } = Deno.FsFile;
    const position = (file: Deno.FsFile) => this.#open.get(file);
    put(prototype, "write", async function (this: Deno.FsFile, bytes: Uint8Array) {
      const open = position(this);
      if (!open) return await REAL.write.call(this, bytes);
      const half = disk.#record(open, bytes);
      const count = await REAL.write.call(this, half ?? bytes);
      if (half !== null) {
        throw Object.assign(new Error("No space left on device"), { code: "ENOSPC" });
      }
      return count;
    });
    put(prototype, "writeSync", function (this: Deno.FsFile, bytes: Uint8Array) {
      const open = position(this);
      if (open) disk.#record(open, bytes);
      return REAL.writeSync.call(this, bytes);
    });
    put(prototype, "sync", async function (this: Deno.FsFile) {
      const open = position(this);
      if (open) {
        disk.#begin("sync");
        disk.#sync(open.node);
      }
      await REAL.sync.call(this);
    });
    put(prototype, "truncateSync", function (this: Deno.FsFile, length?: number) {
      const open = position(this);
      if (open?.node.kind === "file") {
        disk.#begin("truncate");
        disk.#version(open.node, open.node.versions.at(-1)!.slice(0, length ?? 0));
      }
      REAL.truncateSync.call(this, length);
    });
  }

  /** @returns The half that is written before the disk is full; null if all is. */
  #record(
    open: { node: FileNode | FolderNode; at: number; append: boolean },
    bytes: Uint8Array,
  ): Uint8Array | null {
    if (open.node.kind !== "file") throw new Error("recorded_disk: a folder is written");
    let part = bytes;
    const fails = this.operations.length === this.#failAt;
    if (fails) {
      this.#failAt = Infinity;
      part = bytes.subarray(0, bytes.length >> 1);
    }
    this.#begin(`write ${part.length} bytes`);
    const at = open.append ? open.node.versions.at(-1)!.length : open.at;
    this.#put(open.node, at, part);
    open.at = at + part.length;
    return fails ? part : null;
  }
}

/** Until it is disposed of nothing is synced: what is tried of copies in tests need not last. */
export function withoutSync(): Disposable {
  const { sync } = Deno.FsFile.prototype;
  Deno.FsFile.prototype.sync = async () => {};
  return { [Symbol.dispose]: () => void (Deno.FsFile.prototype.sync = sync) };
}

/** The names in a folder as the program sees them. */
function namesOf({ changes }: FolderNode): Map<string, Node | null> {
  return new Map(changes.flatMap(({ names }) => [...names]));
}

/** How many changes of each folder are kept. */
function keptChanges(root: FolderNode, loss: Loss): Map<FolderNode, number> {
  const kept = new Map<FolderNode, number>();
  const choose = (folder: FolderNode) => {
    if (kept.has(folder)) return;
    const { synced, changes } = folder;
    kept.set(folder, synced + loss.keep(changes.length - synced, "names"));
    for (const { names } of changes) {
      for (const node of names.values()) if (node?.kind === "folder") choose(node);
    }
  };
  choose(root);
  for (let more = true; more;) {
    more = false;
    for (const [{ changes }, count] of kept) {
      for (const { needs } of changes.slice(0, count)) {
        if (!needs || kept.get(needs.folder)! >= needs.count) continue;
        kept.set(needs.folder, needs.count);
        more = true;
      }
    }
  }
  return kept;
}

/** Deno's own functions. */
const REAL = {
  open: Deno.open,
  openSync: Deno.openSync,
  mkdir: Deno.mkdir,
  rename: Deno.rename,
  remove: Deno.remove,
  removeSync: Deno.removeSync,
  writeFile: Deno.writeFile,
  writeFileSync: Deno.writeFileSync,
  copyFile: Deno.copyFile,
  write: Deno.FsFile.prototype.write,
  writeSync: Deno.FsFile.prototype.writeSync,
  sync: Deno.FsFile.prototype.sync,
  truncateSync: Deno.FsFile.prototype.truncateSync,
};

function makes(options?: Deno.OpenOptions): boolean {
  return options?.create === true || options?.createNew === true;
}

import { assert, assertEquals, assertRejects } from "@std/assert";
import { FileError, TrainingError } from "../../src/errors.ts";
import {
  recoverFolder,
  removeFolderAtomically,
  writeFileAtomically,
  writeFolderAtomically,
} from "../../src/io/atomic.ts";
import { withFolder } from "../support/io.ts";

/** Every path below a folder with the text of its file. */
function tree(folder: string, prefix = ""): Record<string, string> {
  const found: Record<string, string> = {};
  for (const { name, isDirectory } of Deno.readDirSync(folder)) {
    const path = `${folder}/${name}`;
    if (isDirectory) Object.assign(found, tree(path, `${prefix}${name}/`));
    else found[prefix + name] = Deno.readTextFileSync(path);
  }
  return found;
}

const writer = (text: string) => async (folder: string) => {
  await Deno.mkdir(`${folder}/sub`);
  await Deno.writeTextFile(`${folder}/sub/a`, text);
  await Deno.writeTextFile(`${folder}/b`, text);
};

Deno.test("writeFileAtomically writes text, bytes or what a function writes", () =>
  withFolder(async (folder) => {
    await writeFileAtomically(`${folder}/a`, "old and longer");
    await writeFileAtomically(`${folder}/a`, "téxt");
    await writeFileAtomically(`${folder}/b`, Uint8Array.of(66, 66));
    await writeFileAtomically(`${folder}/c`, async (file) => {
      await file.write(Uint8Array.of(67));
    });
    await Deno.writeTextFile(`${folder}/.d.tmp`, "what a killed process left behind");
    await writeFileAtomically(`${folder}/d`, "D");
    assertEquals(tree(folder), { a: "téxt", b: "BB", c: "C", d: "D" });
  }));

Deno.test("a file write that fails keeps the old file and leaves no other", () =>
  withFolder(async (folder) => {
    await writeFileAtomically(`${folder}/a`, "old");
    const failing = async (file: Deno.FsFile) => {
      await file.write(new Uint8Array(100));
      throw new TrainingError("stop");
    };
    await assertRejects(() => writeFileAtomically(`${folder}/a`, failing), TrainingError, "stop");
    await Deno.mkdir(`${folder}/sub`);
    await assertRejects(() => writeFileAtomically(`${folder}/sub`, "x"), FileError, "Cannot write");
    await assertRejects(
      () => writeFileAtomically(`${folder}/none/a`, "x"),
      FileError,
      `Cannot write "${folder}/none/a": there is no such file or folder`,
    );
    assertEquals(tree(folder), { a: "old" });
  }));

Deno.test("writeFolderAtomically writes a new folder, and replaces one as a whole when allowed", () =>
  withFolder(async (folder) => {
    const target = `${folder}/parents/out`;
    await writeFolderAtomically(target, writer("1"));
    assertEquals(tree(folder), { "parents/out/sub/a": "1", "parents/out/b": "1" });
    await Deno.writeTextFile(`${target}/extra`, "");
    await assertRejects(
      () => writeFolderAtomically(target, writer("2")),
      FileError,
      "it exists; choose another, or allow to overwrite it",
    );
    assertEquals(tree(target), { "sub/a": "1", "b": "1", "extra": "" });
    await writeFolderAtomically(target, writer("2"), { overwrite: true });
    assertEquals(tree(folder), { "parents/out/sub/a": "2", "parents/out/b": "2" });
  }));

Deno.test("a folder write that fails keeps the old folder and leaves no other", () =>
  withFolder(async (folder) => {
    const target = `${folder}/out`;
    const failing = async (temporary: string) => {
      await writer("2")(temporary);
      throw new TrainingError("stop");
    };
    await assertRejects(() => writeFolderAtomically(target, failing), TrainingError, "stop");
    assertEquals(tree(folder), {});
    await writeFolderAtomically(target, writer("1"));
    const overwrite = { overwrite: true };
    await assertRejects(() => writeFolderAtomically(target, failing, overwrite), TrainingError);
    assertEquals(tree(folder), { "out/sub/a": "1", "out/b": "1" });

    await Deno.writeTextFile(`${folder}/file`, "kept");
    await Deno.symlink(target, `${folder}/link`);
    for (const [name, what] of [["file", "a file"], ["link", "a link"]]) {
      await assertRejects(
        () => writeFolderAtomically(`${folder}/${name}`, writer("2"), overwrite),
        FileError,
        `it is ${what}`,
      );
    }
    await assertRejects(
      () => writeFolderAtomically(`${folder}/file/out`, writer("2")),
      FileError,
      "a part of the path is a file",
    );
    assertEquals(tree(target), { "sub/a": "1", "b": "1" });
  }));

Deno.test("what a killed process leaves behind is put right from each state it can be in", async () => {
  // The folders that are there, and what the target must hold in the end.
  const states: [string[], string | undefined][] = [
    [[], undefined],
    [["out"], "out"],
    [[".out.tmp"], undefined], // killed while writing for the first time
    [["out", ".out.tmp"], "out"], // killed while writing again
    [[".out.old", ".out.tmp"], ".out.tmp"], // killed between the renames
    [["out", ".out.old"], "out"], // killed before the old folder was removed
    [[".out.old"], ".out.old"], // the new folder was removed by hand
  ];
  for (const [present, expected] of states) {
    await withFolder(async (folder) => {
      const lay = async () => {
        for (const name of present) {
          await Deno.mkdir(`${folder}/${name}`);
          await Deno.writeTextFile(`${folder}/${name}/f`, name);
        }
      };
      await lay();
      await recoverFolder(`${folder}/out`);
      assertEquals(tree(folder)["out/f"], expected);
      assert(!(".out.old/f" in tree(folder)));
      for (const { name } of [...Deno.readDirSync(folder)]) {
        await Deno.remove(`${folder}/${name}`, { recursive: true });
      }
      await lay();
      await writeFolderAtomically(`${folder}/out`, writer("2"), { overwrite: true });
      assertEquals(tree(folder), { "out/sub/a": "2", "out/b": "2" });
    });
  }
});

Deno.test("a process killed while it rewrites a folder leaves it whole", () =>
  withFolder(async (folder) => {
    const target = `${folder}/out`;
    const module = new URL("../../src/io/atomic.ts", import.meta.url);
    const script = `
      import { writeFolderAtomically } from "${module}";
      for (let i = 0;; i++) {
        await writeFolderAtomically("${target}", async (temporary) => {
          for (const name of ["a", "b", "c"]) {
            await Deno.writeTextFile(temporary + "/" + name, String(i).padStart(20000));
          }
        }, { overwrite: true });
        if (i === 0) console.log("started");
      }`;
    await Deno.writeTextFile(`${folder}/script.ts`, script);
    for (let round = 0; round < 12; round++) {
      const child = new Deno.Command(Deno.execPath(), {
        args: ["run", "--no-check", "--no-config", "-A", `${folder}/script.ts`],
        stdout: "piped",
      }).spawn();
      const reader = child.stdout.getReader();
      await reader.read(); // the first version is in place
      await new Promise((resolve) => setTimeout(resolve, Math.random() * 20));
      child.kill("SIGKILL");
      await child.status;
      await reader.cancel();
      await recoverFolder(target);
      const files = tree(target);
      assertEquals(Object.keys(files).sort(), ["a", "b", "c"]);
      assert(files.a.length === 20000 && files.a === files.b && files.b === files.c);
    }
    await writeFolderAtomically(target, writer("end"), { overwrite: true });
    await Deno.remove(`${folder}/script.ts`);
    assertEquals(tree(folder), { "out/sub/a": "end", "out/b": "end" });
  }));

/** A file system of 64 KiB, if this machine lets the test mount one. */
async function mountSmallDisk(path: string): Promise<boolean> {
  if (Deno.build.os !== "linux") return false;
  const args = ["-t", "tmpfs", "-o", "size=64k", "tmpfs", path];
  const run = new Deno.Command("mount", { args, stdout: "null", stderr: "null" }).output();
  return await run.then(({ success }) => success, () => false);
}

Deno.test("a full disk keeps the old content and says how much was written", async (test) => {
  const disk = await Deno.makeTempDir();
  const mounted = await mountSmallDisk(disk);
  if (!mounted) console.log("io_atomic_test: no small disk can be mounted, its test is skipped");
  try {
    await test.step({
      name: "on a disk of 64 KiB",
      ignore: !mounted,
      async fn() {
        await writeFolderAtomically(`${disk}/out`, writer("1"));
        await writeFileAtomically(`${disk}/file`, "1");
        const tooMuch = new Uint8Array(100_000);
        const error = await assertRejects(
          () =>
            writeFolderAtomically(`${disk}/out`, async (temporary) => {
              await writeFileAtomically(`${temporary}/a`, new Uint8Array(8192));
              await writeFileAtomically(`${temporary}/b`, tooMuch);
            }, { overwrite: true }),
          FileError,
          `Cannot write the folder "${disk}/out": the disk is full after `,
        );
        // Both files count: the one that fitted, and the part of the other.
        const written = Number(error.message.match(/after (\d+) bytes/)![1]);
        assert(written > 40_000 && written <= 65536, error.message);
        await assertRejects(
          () => writeFileAtomically(`${disk}/file`, tooMuch),
          FileError,
          `Cannot write "${disk}/file": the disk is full after `,
        );
        assertEquals(tree(disk), { "out/sub/a": "1", "out/b": "1", "file": "1" });
      },
    });
  } finally {
    if (mounted) await new Deno.Command("umount", { args: [disk] }).output();
    await Deno.remove(disk, { recursive: true });
  }
});

Deno.test("a file system that cannot sync folders is written all the same; a sync that fails is an error", () =>
  withFolder(async (folder) => {
    const { sync } = Deno.FsFile.prototype;
    let code = "EINVAL";
    Deno.FsFile.prototype.sync = async function () {
      if ((await this.stat()).isDirectory) throw Object.assign(new Error("sync"), { code });
    };
    try {
      await writeFileAtomically(`${folder}/a`, "1");
      code = "EIO";
      await assertRejects(() => writeFileAtomically(`${folder}/b`, "2"), FileError, "sync");
    } finally {
      Deno.FsFile.prototype.sync = sync;
    }
    assertEquals(tree(folder).a, "1");
  }));

Deno.test("removeFolderAtomically removes a folder and what a killed removal left", () =>
  withFolder(async (folder) => {
    for (const name of ["a", "b"]) await writeFolderAtomically(`${folder}/${name}`, writer("1"));
    await Deno.mkdir(`${folder}/.removed/sub`, { recursive: true });
    await removeFolderAtomically(`${folder}/a`);
    assertEquals(tree(folder), { "b/sub/a": "1", "b/b": "1" });
    assertEquals([...Deno.readDirSync(folder)].map(({ name }) => name), ["b"]);
    await assertRejects(
      () => removeFolderAtomically(`${folder}/a`),
      FileError,
      `Cannot remove "${folder}/a": there is no such file or folder`,
    );
  }));

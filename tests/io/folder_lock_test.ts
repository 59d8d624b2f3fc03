import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { FileError, OptionError, TrainingError } from "../../src/errors.ts";
import { exists } from "../../src/io/exists.ts";
import { FolderLock } from "../../src/io/folder_lock.ts";
import { withFolder } from "../support/io.ts";

const MODULE = new URL("../../src/io/folder_lock.ts", import.meta.url);

Deno.test("a lock is of one process, says whose it is, and ends with a process that is killed", () =>
  withFolder(async (parent) => {
    const folder = `${parent}/deep/out`;
    const script = `${parent}/hold.ts`;
    await Deno.writeTextFile(
      script,
      `import { FolderLock } from "${MODULE}";
       await FolderLock.take(Deno.args[0]);
       console.log("has it");
       if (await Deno.stdin.read(new Uint8Array(1)) === 1) Deno.exit(0);`,
    );
    for (const ending of ["exit", "SIGKILL"]) {
      const child = new Deno.Command(Deno.execPath(), {
        args: ["run", "-A", "--no-check", "--no-config", script, folder],
        stdin: "piped",
        stdout: "piped",
      }).spawn();
      const output = child.stdout.getReader();
      await output.read();
      const error = await assertRejects(() => FolderLock.take(folder), OptionError);
      const begin =
        `Cannot train into "${folder}" as another run writes there (process ${child.pid}, ` +
        "since 20";
      assert(error.message.startsWith(begin), error.message);
      const input = child.stdin.getWriter();
      if (ending === "SIGKILL") child.kill("SIGKILL");
      else await input.write(Uint8Array.of(1));
      await child.status;
      await input.close().catch(() => {});
      await output.cancel();
      // A killed process leaves the file, which is no lock; another takes away what it has made.
      assertEquals(await exists(`${folder}/.lock`), ending === "SIGKILL");
      {
        using lock = await FolderLock.take(folder);
        assert(lock.holds);
      }
      assert(!await exists(`${folder}/.lock`));
      if (ending === "exit") assert(!await exists(`${parent}/deep`));
    }
  }));

Deno.test("in a process a lock passes on from an idle holder; what was made for it goes", () =>
  withFolder(async (parent) => {
    const folder = `${parent}/a/b`;
    const first = await FolderLock.take(folder);
    await Deno.symlink(folder, `${parent}/link`);
    const second = await FolderLock.take(`${parent}/link`);
    assert(!first.holds && second.holds);
    assertThrows(() => first.expect(), TrainingError, "a later trainer writes there now");
    first[Symbol.dispose]();
    second.expect();
    second.busy = true;
    await assertRejects(() => FolderLock.take(folder), OptionError, "a trainer of this process");
    second[Symbol.dispose]();
    assert(!await exists(`${parent}/a`));

    // Whoever keeps it has it back from a later holder.
    {
      using keeper = (await FolderLock.take(folder)).keep();
      {
        using later = await FolderLock.take(folder);
        assert(later.holds && !keeper.holds);
      }
      assert(keeper.holds);
    }
    assert(!await exists(`${parent}/a`));

    // A folder that was removed under its holder is another one.
    using stale = await FolderLock.take(folder);
    await Deno.remove(`${parent}/a`, { recursive: true });
    using fresh = await FolderLock.take(folder);
    assert(!stale.holds && fresh.holds && await exists(`${folder}/.lock`));

    await Deno.writeTextFile(`${parent}/file`, "");
    await assertRejects(() => FolderLock.take(`${parent}/file/x`), FileError, "Cannot");
  }));

Deno.test("where the file system has no locks, a run is told so and goes on", () =>
  withFolder(async (folder) => {
    const tryLock = Deno.FsFile.prototype.tryLockSync;
    const notices: string[] = [];
    Deno.FsFile.prototype.tryLockSync = () => {
      throw new Error("Function not implemented");
    };
    try {
      using lock = await FolderLock.take(folder, (notice) => notices.push(notice));
      assert(lock.holds);
    } finally {
      Deno.FsFile.prototype.tryLockSync = tryLock;
    }
    assert(notices[0].includes("has no locks"), notices[0]);
  }));

import { assert, assertEquals } from "@std/assert";
import { FileError, ModelError } from "../../src/errors.ts";
import { isDiskFull, toFileError } from "../../src/io/file_error.ts";

Deno.test("toFileError makes a sentence with the remedy and keeps the cause", async () => {
  const path = "/nowhere/a file";
  const cause = await Deno.open(path).catch((error) => error);
  const error = toFileError("open", path, cause) as FileError;
  assert(error instanceof FileError);
  assertEquals(
    error.message,
    'Cannot open "/nowhere/a file": there is no such file or folder; check the path',
  );
  assertEquals(error.cause, cause);
});

Deno.test("toFileError passes on what is no file operation's error", () => {
  for (const error of [new ModelError("said already"), new TypeError("a mistake"), "thrown", 3]) {
    assert(toFileError("open", "x", error) === error);
  }
});

Deno.test("toFileError keeps Deno's hint about the missing permission", () => {
  const cause = new Deno.errors.NotCapable("Requires read access, run with --allow-read");
  assertEquals(
    (toFileError("open", "x", cause) as FileError).message,
    'Cannot open "x": Requires read access, run with --allow-read',
  );
});

Deno.test({
  name: "toFileError recognises a full disk",
  ignore: Deno.build.os !== "linux", // /dev/full is Linux's
  async fn() {
    using file = await Deno.open("/dev/full", { write: true });
    const cause = await file.write(Uint8Array.of(1)).catch((error) => error);
    assert(isDiskFull(cause) && isDiskFull(new Error("outer", { cause })));
    assert(!isDiskFull(new Error("other")) && !isDiskFull(undefined));
    assertEquals(
      (toFileError("write", "x", cause) as FileError).message,
      'Cannot write "x": the disk is full; free some space, or choose another folder, and run again',
    );
  },
});

import { assertEquals, assertStringIncludes } from "@std/assert";
import { FalqonError, ModelError } from "../src/errors.ts";
import { printable, printableLines } from "../src/printable.ts";

Deno.test("what a terminal would obey is shown as JSON writes it", () => {
  assertEquals(printable("\x1b]0;owned\x07\x1b[2J"), "\\u001b]0;owned\\u0007\\u001b[2J");
  assertEquals(printable("a\nb\r\tc\0"), "a\\nb\\r\\tc\\u0000");
  assertEquals(printable("\x7f\x85\x9b31m"), "\\u007f\\u0085\\u009b31m");
  assertEquals(printable("\u202eevil\u2066\u2028"), "\\u202eevil\\u2066\\u2028");
  assertEquals(printable("\ud83d x \udc00"), "\\ud83d x \\udc00");
  // In JSON, the text is the same.
  const text = [...Array(0x2100).keys()].map((code) => String.fromCharCode(code)).join("");
  assertEquals(
    JSON.parse(`"${printable(text.replace(/["\\]/g, ""))}"`),
    text.replace(/["\\]/g, ""),
  );
});

Deno.test("what is printable stays as it is, in every script", () => {
  const text =
    "caf\u00e9 \u00a0\u0301 \ud83d\ude00\u200d\ud83d\udc69 \u0645\u0631\u062d\u0628\u0627 \u4e00 \\u001b \u{10ffff}";
  assertEquals(printable(text), text);
  assertEquals(printable(printable("\x1b")), printable("\x1b"));
});

Deno.test("of several lines, line feeds and tabulators stay", () => {
  assertEquals(printableLines("a\n\tb\r\n\x1b[0m"), "a\n\tb\\r\n\\u001b[0m");
});

Deno.test("an error of this package is one line, whatever it quotes", () => {
  const error = new ModelError('Cannot use "x\x1b[2J\nerror: \u202e"', { cause: "y" });
  assertEquals(error.message, 'Cannot use "x\\u001b[2J\\nerror: \\u202e"');
  assertEquals([error.cause, error.name], ["y", "ModelError"]);
  assertStringIncludes(error.stack!, "\\u001b[2J");
  assertEquals(new FalqonError().message, "");
});

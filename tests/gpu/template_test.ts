import { assertEquals, assertThrows } from "@std/assert";
import { expandTemplate, type KernelConstants } from "../../src/gpu/template.ts";

/** Expands with the given include files; gives the non-empty lines. */
function expand(
  source: string,
  constants: KernelConstants = {},
  files: Record<string, string> = {},
): string[] {
  const read = (file: string) => {
    if (!(file in files)) throw new TypeError(`no file ${file}`);
    return files[file];
  };
  return expandTemplate(source, constants, read).split("\n").filter((line) => line !== "");
}

Deno.test("template: numbers become constants, every value replaces its name", () => {
  assertEquals(expand("let x: array<$TYPE, N> = ${TYPE}x($N, $OTHER);", { N: 4, TYPE: "f32" }), [
    "const N = 4;",
    "let x: array<f32, N> = f32x(4, $OTHER);",
  ]);
});

Deno.test("template: conditions on booleans and on values, nested", () => {
  const source = `
//! if F16
half
  //! if TYPE == e4m3
  coded
  //! else
  plain
  //! end
//! else
full
//! end
//! if !F16
not half
//! end
//! if TYPE != e4m3
not coded
//! end`;
  const lines = (constants: KernelConstants) => expand(source, constants).map((l) => l.trim());
  assertEquals(lines({ F16: true, TYPE: "e4m3" }), ["half", "coded"]);
  assertEquals(lines({ F16: true, TYPE: "f32" }), ["half", "plain", "not coded"]);
  assertEquals(lines({ F16: false, TYPE: "e4m3" }), ["full", "not half"]);
});

Deno.test("template: loops nest, see outer variables in bounds, and may be empty", () => {
  const source = `
//! unroll i 0 TILE/2
//! unroll j $i 2*TILE/4+1
x_$i[\${j}u]
//! end
//! if LAST
after $i
//! end
//! end
//! unroll k 3 3
never
//! end`;
  assertEquals(expand(source, { TILE: 4, LAST: true }), [
    "const TILE = 4;",
    "x_0[0u]",
    "x_0[1u]",
    "x_0[2u]",
    "after 0",
    "x_1[1u]",
    "x_1[2u]",
    "after 1",
  ]);
});

Deno.test("template: files are included once, features move to the top", () => {
  const files = {
    "a.wgsl": "//! include b.wgsl\nfn a() {}",
    "b.wgsl": "enable f16;\nfn b() {}",
  };
  const source = "//! include a.wgsl\n//! include b.wgsl\nenable f16;\nfn main() {}";
  assertEquals(expand(source, { N: 1 }, files), [
    "enable f16;",
    "const N = 1;",
    "fn b() {}",
    "fn a() {}",
    "fn main() {}",
  ]);
});

Deno.test("template: mistakes in a kernel file are errors", () => {
  const fails = (source: string, message: string) =>
    assertThrows(() => expand(source, { N: 2 }), Error, message);
  fails("//! repeat i 0 2", 'Unknown template directive "repeat"');
  fails("//! if N\nx", "Template directive without an end: //! if N");
  fails("//! unroll i 0 N\n//! if N\n//! end", "Template directive without an end: //! unroll");
  fails("//! end", 'Unknown template directive "end"');
  fails("//! if MISSING\n//! end", 'Unknown template constant "MISSING"');
  fails("//! unroll i 0 MISSING\n//! end", 'Unknown template constant "MISSING"');
  fails("//! include missing.wgsl", "no file missing.wgsl");
});

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

Deno.test("a template makes numbers constants, and every value replaces its name", () => {
  assertEquals(expand("let x: array<$TYPE, N> = ${TYPE}x($N, $OTHER);", { N: 4, TYPE: "f32" }), [
    "const N = 4;",
    "let x: array<f32, N> = f32x(4, $OTHER);",
  ]);
});

Deno.test("a template takes conditions on booleans and on values, nested", () => {
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

Deno.test("template: of a chain of elif the first branch that holds is kept, or the else", () => {
  const source = `
//! if TYPE == e4m3
four
//! elif TYPE == e5m2
  //! if SIGNED
  signed five
  //! elif WIDE
  wide five
  //! else
  five
  //! end
//! elif WIDE
wide
//! else
other
//! end
//! if TYPE == e4m3
again
//! elif !WIDE
narrow
//! end`;
  const lines = (TYPE: string, SIGNED: boolean, WIDE: boolean) =>
    expand(source, { TYPE, SIGNED, WIDE }).map((line) => line.trim());
  assertEquals(lines("e4m3", true, true), ["four", "again"]);
  assertEquals(lines("e5m2", true, true), ["signed five"]);
  assertEquals(lines("e5m2", false, true), ["wide five"]);
  assertEquals(lines("e5m2", false, false), ["five", "narrow"]);
  assertEquals(lines("f32", false, true), ["wide"]);
  assertEquals(lines("f32", false, false), ["other", "narrow"]);
});

Deno.test("template: a condition that is not reached may ask for what the variant does not have", () => {
  assertEquals(expand("//! if A\na\n//! elif MISSING == x\nb\n//! end", { A: true }), ["a"]);
});

Deno.test("template: loops over words replace their names in the text and in directives", () => {
  const source = `
//! for X,x,n in A,a,2 B,b,1
//! if \${X}_FP8
const \${X}_CODES = $x;
//! elif X == B
plain $x
//! end
//! unroll i 0 \${X}_LOADS*$n
load_\${x}_$i
//! end
//! for T in f32 e4m3
\${x}_$T
//! end
//! end`;
  const expected = [
    ...["const A_CODES = a;", "load_a_0", "load_a_1", "a_f32", "a_e4m3"],
    ...["plain b", "load_b_0", "load_b_1", "load_b_2", "b_f32", "b_e4m3"],
  ];
  const constants = { A_FP8: true, B_FP8: false, A_LOADS: 1, B_LOADS: 3 };
  const declared = ["const A_LOADS = 1;", "const B_LOADS = 3;"];
  assertEquals(expand(source, constants), [...declared, ...expected]);
});

Deno.test("words of a loop of a template may be values of constants", () => {
  const source = "//! for x,f in a,$A_DECODE b,$B_DECODE\n${x} = $f(0);\n//! end";
  const constants = { A_DECODE: "unpack", B_DECODE: "shift" };
  assertEquals(expand(source, constants), ["a = unpack(0);", "b = shift(0);"]);
});

Deno.test("loops of a template nest, see outer variables in bounds, and may be empty", () => {
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

Deno.test("a template includes files once, and features move to the top", () => {
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

Deno.test("template: an included file sees the names it is given, and is pasted once for each choice of them", () => {
  const files = {
    "rows.wgsl": "$KIND $N\n//! if WIDE\nwide\n//! end\n//! unroll i 0 PARTS\npart $i\n//! end",
  };
  const source = `
//! for T in f32 f32 f16
//! include rows.wgsl KIND=$T WIDE=false PARTS=1
//! end
//! include rows.wgsl KIND=last WIDE=true PARTS=2`;
  assertEquals(expand(source, { N: 3 }, files), [
    "const N = 3;",
    ...["f32 3", "part 0"],
    ...["f16 3", "part 0"],
    ...["last 3", "wide", "part 0", "part 1"],
  ]);
});

Deno.test("mistakes in a kernel file are errors", () => {
  const fails = (source: string, message: string) =>
    assertThrows(() => expand(source, { N: 2 }), Error, message);
  fails("//! repeat i 0 2", 'Unknown template directive "repeat"');
  fails("//! if N\nx", "Template directive without an end: //! if N");
  fails("//! unroll i 0 N\n//! if N\n//! end", "Template directive without an end: //! unroll");
  fails("//! end", 'Unknown template directive "end"');
  fails("//! if MISSING\n//! end", 'Unknown template constant "MISSING"');
  fails("//! unroll i 0 MISSING\n//! end", 'Unknown template constant "MISSING"');
  fails("//! include missing.wgsl", "no file missing.wgsl");
  fails("//! else\n//! end", 'Unknown template directive "else" in line: //! else');
  fails("//! elif N\n//! end", 'Unknown template directive "elif" in line: //! elif N');
  fails(
    "//! if N\n//! else\n//! elif N\n//! end",
    '"elif" after "else": //! if N … //! elif N',
  );
  fails("//! if N\n//! else\n//! else\n//! end", '"else" after "else": //! if N … //! else');
  fails("//! if N\n//! elif\n//! end", '"elif" takes a condition and "else" takes none');
  fails("//! if N\n//! else N\n//! end", "takes none: //! else N");
  fails(
    "//! unroll i 0 N\n//! else\n//! end",
    '"else" belongs to no "if": //! unroll i 0 N … //! else',
  );
  fails("//! if N = 2\n//! end", "as the condition in line: //! if N = 2");
  fails("//! if\n//! end", "as the condition in line: //! if");
  fails("//! unroll i 0\n//! end", 'Expected "unroll NAME FROM TO" in line: //! unroll i 0');
  fails("//! for X in\n//! end", 'Expected "for NAME in WORD …" in line: //! for X in');
  fails("//! for X of a b\n//! end", 'Expected "for NAME in WORD …" in line: //! for X of a b');
  fails("//! for X,Y in a,b c\n//! end", '"c" has 1 parts for 2 names in line: //! for X,Y');
  fails("//! for X in a\nx", "Template directive without an end: //! for X in a");
  assertThrows(
    () => expand("//! include a.wgsl X", {}, { "a.wgsl": "" }),
    SyntaxError,
    'Expected NAME=word, not "X", in line: //! include a.wgsl X',
  );
  fails("//!include a.wgsl", "no file a.wgsl");
});

import { assertEquals, assertThrows } from "@std/assert";
import { packParams, parseLayout } from "../../src/gpu/layout.ts";

const KERNEL = `
// @group(0) @binding(9) var<storage, read> commented_out: array<f32>;
struct Params {
  rows: u32, // a comment: f32
  shift: i32,
  eps: f32,
}
struct Other { a: f32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<vec4<f32>>;
@group(0)
@binding(3) var<storage, read_write> output: array<f32>;
var<workgroup> scratch: array<f32, 4>;
`;

Deno.test("bindings and parameters are read from the kernel", () => {
  assertEquals(parseLayout(KERNEL), {
    bindings: [
      { name: "params", binding: 0, type: "uniform" },
      { name: "input", binding: 1, type: "read-only-storage" },
      { name: "output", binding: 3, type: "storage" },
    ],
    params: [
      { name: "rows", type: "u32" },
      { name: "shift", type: "i32" },
      { name: "eps", type: "f32" },
    ],
  });
  assertEquals(parseLayout("fn main() {}"), { bindings: [], params: [] });
});

Deno.test("parameters are packed by type in the order of the struct", () => {
  const { params } = parseLayout(KERNEL);
  const data = new DataView(new ArrayBuffer(16));
  packParams(params, { eps: 0.5, shift: -2, rows: 0xffffffff }, data, 4);
  assertEquals(data.getUint32(0, true), 0);
  assertEquals(data.getUint32(4, true), 0xffffffff);
  assertEquals(data.getInt32(8, true), -2);
  assertEquals(data.getFloat32(12, true), 0.5);
});

Deno.test("missing and surplus parameters are programming errors", () => {
  const { params } = parseLayout(KERNEL);
  const data = new DataView(new ArrayBuffer(16));
  assertThrows(
    () => packParams(params, { rows: 1, shift: 1 }, data, 0),
    TypeError,
    'Kernel parameter "eps" was not given',
  );
  assertThrows(
    () => packParams(params, { rows: 1, shift: 1, eps: 1, cols: 1 }, data, 0),
    TypeError,
    'Kernel has no parameter "cols"',
  );
});

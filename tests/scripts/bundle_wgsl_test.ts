import { assert, assertEquals, assertThrows } from "@std/assert";
import { bundleKernels, type KernelFile, readKernelFiles } from "../../scripts/bundle_wgsl.ts";

function file(path: string, text: string): KernelFile {
  const name = path.replace(/^.*\/|\.wgsl$/g, "");
  return { name, path, text, isKernel: text.includes("@compute") };
}

Deno.test("the bundle names the kernels, files with an entry point, and holds the text of every file", () => {
  const texts = ["// `a` \\ ${b}\n@compute fn main() {}\n", "// included\n"];
  const bundle = bundleKernels([file("rows/a.wgsl", texts[0]), file("shared/b.wgsl", texts[1])]);
  assert(bundle.includes('export type KernelName =\n  | "a";'), bundle);
  const [literal] = bundle.match(/\{\n[^]*\}/)!;
  assertEquals(new Function(`return ${literal}`)(), { "a.wgsl": texts[0], "b.wgsl": texts[1] });
});

Deno.test("two files of one name are refused, as kernels and includes are called by it", () => {
  assertThrows(
    () =>
      bundleKernels([file("gemm/a.wgsl", ""), file("rows/b.wgsl", ""), file("rows/a.wgsl", "")]),
    Error,
    "gemm/a.wgsl and rows/a.wgsl have one name: give one of them another",
  );
});

Deno.test("an entry point stands in the kernel's own file, at the beginning of a line, where the bundler sees it", () => {
  const files = readKernelFiles();
  for (const { path, text, isKernel } of files) {
    assertEquals(text.includes("fn main("), isKernel, path);
  }
  assert(files.filter(({ isKernel }) => isKernel).length > 40);
});

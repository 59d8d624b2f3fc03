/**
 * Kernels that tell when they form an index out of range. Importing this, or running tests with it as a preload, changes
 * every kernel of the package: each index into a buffer that it binds is compared with the length, and one beyond it fails
 * the test that reads results next. With CHECK_WORKGROUP_ARRAYS=1 so is each index into an array of a workgroup: no data
 * decides these, and drivers take minutes to compile them.
 *
 *     deno test -A --no-lock --preload=tests/support/check_bounds.ts tests/kernels/
 *
 * Natively an index out of range does no harm and goes unseen, as WebGPU checks it; on Dawn it reads or writes what lies
 * there, since checks are off (docs/DAWN.md).
 *
 * @module
 */

import { Device } from "../../src/gpu/device.ts";
import { Kernel } from "../../src/gpu/kernel.ts";
import type { KernelName } from "../../src/gpu/kernels.generated.ts";
import { Program } from "../../src/gpu/program.ts";
import type { BufferView } from "../../src/gpu/buffers.ts";
import type { KernelConstants } from "../../src/gpu/template.ts";

/** The name of the binding that takes what was found. */
const FINDINGS = "bounds_findings";
/** Which kernel and array a number in it stands for; 0 for none. */
const places: string[] = ["nothing"];

const SPACES = Deno.env.get("CHECK_WORKGROUP_ARRAYS") === "1" ? "storage|workgroup" : "storage";

/** An array of a module: its name, and its lengths from the outermost in; null for that of a buffer. */
interface ArrayVariable {
  name: string;
  lengths: (string | null)[];
}

/** WGSL with a comparison around every index. */
export function withChecks(kernel: string, code: string, spaces = SPACES): string {
  const plain = code.replace(/\/\/.*$/gm, "");
  const variables = arraysOf(plain, spaces);
  if (variables.length === 0) return code;
  const checks: string[] = [];
  const lengths = new Map(variables.map(({ name, lengths }) => [name, lengths]));
  const called = new Map<string, string>();
  /** The function that compares an index at a depth of an array. */
  const check = (name: string, depth: number) => {
    const key = `${name} ${depth}`;
    let made = called.get(key);
    if (made === undefined) {
      called.set(key, made = `bounds_${checks.length}`);
      const place = places.push(`${kernel}: ${name}${"[…]".repeat(depth)}`) - 1;
      const length = lengths.get(name)![depth];
      checks.push(
        `fn ${made}(i: u32) -> u32 {
  let n = ${length === null ? `arrayLength(&${name})` : `u32(${length})`};
  if (i >= n) { ${FINDINGS}[0] = ${place}u; ${FINDINGS}[1] = i; ${FINDINGS}[2] = n; }
  return i;
}`,
      );
    }
    return made;
  };
  const names = [...lengths.keys()].map((name) => name.replace(".", "\\.")).join("|");
  const indexed = new RegExp(`(?<![\\w.])(${names})\\s*\\[`, "g");
  const rewrite = (text: string): string => {
    let out = "";
    let at = 0;
    for (indexed.lastIndex = 0;;) {
      indexed.lastIndex = at;
      const match = indexed.exec(text);
      if (!match) return out + text.slice(at);
      out += text.slice(at, match.index) + match[1];
      at = match.index + match[0].length - 1;
      const depths = lengths.get(match[1])!.length;
      for (let depth = 0; depth < depths && text[at] === "["; depth++) {
        const end = closing(text, at);
        out += `[${check(match[1], depth)}(u32(${rewrite(text.slice(at + 1, end))}))]`;
        at = end + 1;
      }
    }
  };
  const body = rewrite(plain);
  const next = Math.max(...[...plain.matchAll(/@binding\((\d+)\)/g)].map(([, n]) => Number(n))) + 1;
  const binding = `@group(0) @binding(${next}) var<storage, read_write> ${FINDINGS}: array<u32>;`;
  return [body, binding, ...checks].join("\n") + "\n";
}

function closing(text: string, open: number): number {
  let depth = 0;
  for (let i = open;; i++) {
    if (text[i] === "[") depth++;
    if (text[i] === "]" && --depth === 0) return i;
    if (i >= text.length) throw new SyntaxError(`No ] for ${text.slice(open, open + 40)}`);
  }
}

/** The arrays in buffers and in the memory of a workgroup. */
function arraysOf(code: string, spaces: string): ArrayVariable[] {
  const aliases = new Map(
    [...code.matchAll(/alias\s+(\w+)\s*=\s*([^;]+);/g)].map(([, name, type]) => [name, type]),
  );
  const structs = new Map(
    [...code.matchAll(/struct\s+(\w+)\s*\{([^}]*)\}/g)].map(([, name, fields]) => [name, fields]),
  );
  const lengthsOf = (type: string): (string | null)[] => {
    const known = aliases.get(type.trim()) ?? type.trim();
    const [, inner] = /^array<(.*)>$/s.exec(known) ?? [];
    if (inner === undefined) return [];
    const [element, length = null] = splitTop(inner);
    return [length, ...lengthsOf(element)];
  };
  const found: ArrayVariable[] = [];
  const declared = new RegExp(`var<(?:${spaces})[^>]*>\\s*(\\w+)\\s*:\\s*([^;]+);`, "g");
  for (const [, name, type] of code.matchAll(declared)) {
    const lengths = lengthsOf(type);
    if (lengths.length > 0) found.push({ name, lengths });
    for (const field of splitTop(structs.get(type.trim()) ?? "")) {
      const [, part, of] = /(\w+)\s*:\s*(array<.*>)/s.exec(field) ?? [];
      if (part !== undefined) found.push({ name: `${name}.${part}`, lengths: lengthsOf(of) });
    }
  }
  return found;
}

/** Parts between commas that are in no brackets. */
function splitTop(text: string): string[] {
  const parts = [""];
  let depth = 0;
  for (const char of text) {
    if ("<([".includes(char)) depth++;
    if (">)]".includes(char)) depth--;
    if (char === "," && depth === 0) parts.push("");
    else parts[parts.length - 1] += char;
  }
  return parts.filter((part) => part.trim() !== "");
}

const checked = new WeakMap<Kernel, Kernel>();
const findings = new WeakMap<GPUDevice, BufferView>();

/** Where the kernels of a device tell what they found. */
function findingsOf({ gpu }: Device): BufferView {
  let view = findings.get(gpu);
  if (!view) {
    const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
    view = { buffer: gpu.createBuffer({ size: 16, usage, label: FINDINGS }), offset: 0, size: 16 };
    findings.set(gpu, view);
  }
  return view;
}

const { kernel, readAll, finish } = Device.prototype;
Device.prototype.kernel = function (
  this: Device,
  name: KernelName,
  given?: KernelConstants,
): Kernel {
  const plain = kernel.call(this, name, given);
  let made = checked.get(plain);
  if (!made) checked.set(plain, made = new Kernel(this.gpu, name, withChecks(name, plain.code)));
  return made;
};
const { dispatch } = Program.prototype;
Program.prototype.dispatch = function (this: Program, kernel, bindings, ...rest): void {
  const told = kernel.layout.bindings.some(({ name }) => name === FINDINGS);
  const all = told ? { ...bindings, [FINDINGS]: findingsOf(this.device) } : bindings;
  dispatch.call(this, kernel, all, ...rest);
};

async function expectNone(device: Device): Promise<void> {
  const view = findings.get(device.gpu);
  if (!view) return;
  const [place, index, length] = new Uint32Array((await readAll.call(device, [view]))[0]);
  if (place === 0) return;
  device.gpu.queue.writeBuffer(view.buffer, 0, new Uint32Array(4));
  throw new RangeError(`${places[place]} has the index ${index} of ${length}`);
}
Device.prototype.readAll = async function (this: Device, views: BufferView[]) {
  await expectNone(this);
  return await readAll.call(this, views);
};
Device.prototype.finish = async function (this: Device) {
  await finish.call(this);
  await expectNone(this);
};

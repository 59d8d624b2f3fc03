/**
 * Reads what a kernel binds out of its WGSL, so that the host binds buffers and parameters by the
 * names in the `.wgsl` file and nothing is declared twice.
 *
 * @module
 */

/** One `@group(0) @binding(n)` variable. */
export interface Binding {
  name: string;
  binding: number;
  type: GPUBufferBindingType;
}

/** A scalar field of `struct Params`. */
export interface ParamField {
  name: string;
  type: "u32" | "i32" | "f32";
}

/** What a kernel expects from the host. */
export interface KernelLayout {
  bindings: Binding[];
  params: ParamField[];
}

/** Parses the bindings of group 0 and the scalar fields of `struct Params`. */
export function parseLayout(wgsl: string): KernelLayout {
  const code = wgsl.replace(/\/\/.*$/gm, "");
  const bindings: Binding[] = [];
  const pattern =
    /@group\(0\)\s*@binding\((\d+)\)\s*var<(storage|uniform)(?:,\s*(read_write|read))?>\s*(\w+)/g;
  for (const [, binding, space, access, name] of code.matchAll(pattern)) {
    bindings.push({
      name,
      binding: Number(binding),
      type: space === "uniform"
        ? "uniform"
        : access === "read_write"
        ? "storage"
        : "read-only-storage",
    });
  }
  const struct = /struct Params\s*\{([^}]*)\}/.exec(code)?.[1] ?? "";
  const params = [...struct.matchAll(/(\w+)\s*:\s*(u32|i32|f32)/g)].map(([, name, type]) => ({
    name,
    type: type as ParamField["type"],
  }));
  return { bindings, params };
}

/**
 * Packs parameter values in the order of the struct; a missing or surplus name is a programming
 * error.
 */
export function packParams(
  fields: ParamField[],
  values: Readonly<Record<string, number>>,
  into: DataView,
  offset: number,
): void {
  const surplus = Object.keys(values).find((name) => !fields.some((field) => field.name === name));
  if (surplus !== undefined) throw new TypeError(`Kernel has no parameter "${surplus}"`);
  fields.forEach(({ name, type }, index) => {
    const value = values[name];
    if (value === undefined) throw new TypeError(`Kernel parameter "${name}" was not given`);
    const at = offset + 4 * index;
    if (type === "f32") into.setFloat32(at, value, true);
    else if (type === "i32") into.setInt32(at, value, true);
    else into.setUint32(at, value, true);
  });
}

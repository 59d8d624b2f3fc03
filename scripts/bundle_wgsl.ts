/**
 * Writes `src/gpu/kernels.generated.ts` from `wgsl/`: JSR modules cannot import text files
 * everywhere yet, so the published package carries the kernels as strings. `wgsl/` stays the source
 * of truth.
 *
 * The folders of `wgsl/` are those of `src/kernels`. File names are unique across them, because
 * they name kernels and includes. Every file with an entry point is a kernel, and one of the names
 * of the type `KernelName`; the others are included.
 *
 * Run: `deno task bundle`. With `--check` it only checks that the file is up to date.
 *
 * @module
 */

const folder = new URL("../wgsl/", import.meta.url);
const target = new URL("../src/gpu/kernels.generated.ts", import.meta.url);

/** A file of `wgsl/`. */
export interface KernelFile {
  /** Its name without folder and ending. */
  name: string;
  /** Its path within `wgsl/`. */
  path: string;
  text: string;
  /** Whether it has an entry point. */
  isKernel: boolean;
}

/** All files of `wgsl/`, by name. */
export function readKernelFiles(): KernelFile[] {
  const files: KernelFile[] = [];
  const visit = (within: string) => {
    for (const entry of Deno.readDirSync(new URL(within, folder))) {
      const path = within + entry.name;
      if (entry.isDirectory) visit(`${path}/`);
      else if (path.endsWith(".wgsl")) files.push(readKernelFile(path, entry.name));
    }
  };
  visit("./");
  return files.sort((a, b) => a.name < b.name ? -1 : 1);
}

function readKernelFile(path: string, file: string): KernelFile {
  const text = Deno.readTextFileSync(new URL(path, folder));
  return {
    name: file.replace(/\.wgsl$/, ""),
    path: path.replace(/^\.\//, ""),
    text,
    isKernel: /^@compute\b/m.test(text),
  };
}

/**
 * The text of the generated module.
 *
 * @throws {Error} if two files have one name.
 */
export function bundleKernels(files: KernelFile[] = readKernelFiles()): string {
  for (const [i, { name, path }] of files.entries()) {
    const other = files.slice(i + 1).find((file) => file.name === name);
    if (other) throw new Error(`${path} and ${other.path} have one name: give one of them another`);
  }
  const kernels = files.filter(({ isKernel }) => isKernel).map(({ name }) => `  | "${name}"\n`);
  const entries = files.map(({ name, text }) => {
    const literal = text.replaceAll("\\", "\\\\").replaceAll("`", "\\`").replaceAll("${", "\\${");
    return `  "${name}.wgsl": \`${literal}\`,\n`;
  });
  return "// Generated from wgsl/ by `deno task bundle`. Do not edit.\n" +
    "// deno-fmt-ignore-file\n\n" +
    `/** The kernels: files of wgsl/ that have an entry point. */\nexport type KernelName =\n${
      kernels.join("").trimEnd()
    };\n\n` +
    "/** Texts of kernels, and of what they include, by file name. */\n" +
    `export const kernelSources: Readonly<Record<string, string>> = {\n${entries.join("")}};\n`;
}

if (import.meta.main) {
  const text = bundleKernels();
  if (!Deno.args.includes("--check")) Deno.writeTextFileSync(target, text);
  else if (Deno.readTextFileSync(target) !== text) {
    console.error("src/gpu/kernels.generated.ts is stale: run `deno task bundle`");
    Deno.exit(1);
  }
}

/**
 * Dawn, Chromium's WebGPU, as the npm package `webgpu` brings it to Deno: a second way to the same
 * GPU, and the only one to its tensor cores (subgroup matrices).
 *
 * The package is loaded only when this provider is asked for: it is 132 MB of native code
 * (`--allow-ffi`). The environment variable `FALQON_DAWN` names another place to import it from:
 * the package's folder, or an `npm:` specifier.
 *
 * @module
 */

import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { DeviceError } from "../errors.ts";

export { SUBGROUP_MATRIX } from "./subgroup_matrix.ts";

/**
 * The package. As a value, it is hidden from static analysis, so that it is in no lock file and no
 * cache of those who do not use it.
 */
export const DAWN_PACKAGE = "npm:webgpu@0.6.2";

/** Names another place to import it from. */
const VARIABLE = "FALQON_DAWN";

/** Flags with which the package's `GPU` is opened. */
const FLAGS: readonly string[] = [
  "enable-dawn-features=" + [
    "allow_unsafe_apis", // experimental features: subgroup matrices
    "vulkan_enable_f16_on_nvidia", // f16, and with it the f16 matrices
    "disable_robustness", // a quarter of a GEMM's rate; why this is safe: docs/DAWN.md
  ].join(),
  "disable-dawn-features=timestamp_quantization", // else times are multiples of 65 µs
];

/**
 * Instances by place and backend. The package's objects do not keep their instance alive, so this
 * map does.
 */
const instances = new Map<string, GPU>();

/**
 * Loads Dawn.
 *
 * @param backend "null" for the one that compiles kernels and runs nothing; by default the
 * platform's.
 * @throws {DeviceError} if the package is not installed or may not be loaded.
 */
export async function loadDawn(backend?: "null"): Promise<GPU> {
  const place = await dawnPlace();
  const key = `${place} ${backend}`;
  let gpu = instances.get(key);
  if (!gpu) {
    try {
      const { create } = await import(place);
      gpu = create(backend ? [`backend=${backend}`, ...FLAGS] : FLAGS) as GPU;
      if (typeof gpu?.requestAdapter !== "function") throw new Error("it brings no WebGPU");
    } catch (error) {
      throw loadError(place, error as Error);
    }
    instances.set(key, gpu);
  }
  return gpu;
}

function loadError(place: string, cause: Error): DeviceError {
  const { name, message } = cause;
  const remedy = name === "NotCapable"
    ? "or take the provider native" // the reason names the flag
    : place === DAWN_PACKAGE
    ? `let Deno download it, name its folder in ${VARIABLE}, or take the provider native`
    : `name the folder of the npm package webgpu in ${VARIABLE}, or unset it`;
  const reason = message.split("\n")[0].replace(/\.$/, "");
  return new DeviceError(`Cannot load Dawn from ${place}: ${reason}; ${remedy}`, { cause });
}

/**
 * The module to import Dawn from. What is imported runs with all that the process may do, so the variable
 * names a package: no address, no text of a program, no file of any name.
 */
async function dawnPlace(): Promise<string> {
  const { state } = Deno.permissions.querySync({ name: "env", variable: VARIABLE });
  const given = state === "granted" && Deno.env.get(VARIABLE);
  if (!given) return DAWN_PACKAGE;
  if (/^npm:/.test(given)) return given;
  const problem = /^\w\w+:/.test(given) // a single letter is a drive
    ? "it is neither a folder nor an npm: specifier"
    : await folderProblem(given);
  if (problem === null) return pathToFileURL(resolve(given, "index.js")).href;
  throw new DeviceError(
    `Cannot load Dawn from "${given}", which ${VARIABLE} names, as ${problem}: give the folder of the npm ` +
      `package webgpu, or a specifier such as ${DAWN_PACKAGE}, or unset it`,
  );
}

/** Why a folder is not that of the package; null if it is. */
async function folderProblem(folder: string): Promise<string | null> {
  const path = resolve(folder, "package.json");
  try {
    const settings = JSON.parse(await Deno.readTextFile(path));
    return settings?.name === "webgpu" ? null : `"${path}" is of another package`;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return `there is no "${path}"`;
    if (error instanceof SyntaxError) return `"${path}" is no JSON`;
    return (error as Error).message; // of the operating system, or a permission
  }
}

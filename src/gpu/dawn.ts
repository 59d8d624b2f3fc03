/**
 * Dawn, Chromium's WebGPU, as the npm package `webgpu` brings it to Deno: a second way to the same GPU, and the
 * only one to its tensor cores (subgroup matrices).
 *
 * Nothing here is loaded before it is asked for: the package is 132 MB and is native code (`--allow-ffi`).
 * The environment variable `FALQON_DAWN` names another place to import it from: a folder, a file or a module
 * specifier.
 *
 * @module
 */

import { statSync } from "node:fs";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { DeviceError } from "../errors.ts";

/** The package. As a value, it is hidden from static analysis: no lock file and no cache holds it unasked. */
const PACKAGE = "npm:webgpu@0.6.2";

/** Names another place to import it from. */
const VARIABLE = "FALQON_DAWN";

/** Dawn's name for the feature that opens tensor cores to kernels. */
export const SUBGROUP_MATRIX: GPUFeatureName =
  "chromium-experimental-subgroup-matrix" as GPUFeatureName;

/** What opens the package's `GPU`. */
const FLAGS: readonly string[] = [
  "enable-dawn-features=" + [
    "allow_unsafe_apis", // experimental features: subgroup matrices
    "vulkan_enable_f16_on_nvidia", // f16, and with it the f16 matrices
    "disable_robustness", // a quarter of a matrix product's time; docs/DAWN.md says why it is safe
  ].join(),
  "disable-dawn-features=timestamp_quantization", // else times are multiples of 65 µs
];

/** What the package exports. */
interface Dawn {
  create(flags: readonly string[]): GPU;
}

/** Instances by backend. The package's objects do not keep their instance alive: this does. */
const instances = new Map<string, GPU>();

/**
 * Loads Dawn.
 *
 * @param backend "null" for the one that compiles kernels and runs nothing; by default the platform's.
 * @throws {DeviceError} if the package is not there or may not be loaded.
 */
export async function loadDawn(backend?: "null"): Promise<GPU> {
  const key = backend ?? "";
  let gpu = instances.get(key);
  if (!gpu) {
    const { create } = await importDawn();
    gpu = create(backend ? [`backend=${backend}`, ...FLAGS] : FLAGS);
    instances.set(key, gpu);
  }
  return gpu;
}

async function importDawn(): Promise<Dawn> {
  const place = dawnPlace();
  try {
    return await import(place);
  } catch (error) {
    const reason = (error as Error).message.split("\n")[0];
    const remedy = (error as Error).name === "NotCapable"
      ? "give --allow-ffi"
      : "let Deno download it, or name its folder in FALQON_DAWN, or take the provider native";
    throw new DeviceError(`Cannot load Dawn from ${place}: ${reason}; ${remedy}`);
  }
}

/** The module to import Dawn from. */
function dawnPlace(): string {
  const mayRead = Deno.permissions.querySync({ name: "env", variable: VARIABLE }).state;
  const given = mayRead === "granted" && Deno.env.get(VARIABLE);
  if (!given) return PACKAGE;
  if (/^\w\w+:/.test(given)) return given; // a specifier; one letter would be a drive
  const path = resolve(given);
  const isFolder = statSync(path, { throwIfNoEntry: false })?.isDirectory();
  return pathToFileURL(isFolder ? join(path, "index.js") : path).href;
}

import { type ModelConfig, readModelConfig } from "../../src/model/config.ts";
import { SafetensorsFile } from "../../src/io/safetensors.ts";

/** The folder with models, data and golden values, where it is there. */
export const sharedPath: string = new URL("../../../shared/", import.meta.url).pathname;
const present = await Deno.stat(sharedPath).then(() => true, () => false);

/**
 * A test that needs the models and golden values beside the repository; where they are not
 * there, it prints a line and is skipped.
 *
 * @param name The test's name.
 * @param test Its body.
 */
export function goldenTest(name: string, test: () => Promise<void>): void {
  if (!present) console.log(`skipped, since ${sharedPath} is not there: ${name}`);
  Deno.test({ name, ignore: !present, fn: test });
}

/**
 * Reads every tensor of a safetensors file of F32 and I32 tensors.
 *
 * @param path Relative to the shared folder.
 * @returns The values by name, in f64.
 */
export async function readTensors(path: string): Promise<Map<string, Float64Array>> {
  using file = await SafetensorsFile.open(sharedPath + path);
  const tensors = new Map<string, Float64Array>();
  for (const { name, dtype } of file.tensors.values()) {
    const { buffer } = await file.read(name);
    const values = dtype === "I32" ? new Int32Array(buffer) : new Float32Array(buffer);
    tensors.set(name, Float64Array.from(values));
  }
  return tensors;
}

/**
 * Reads a whole model.
 *
 * @param name Its folder under `models/`.
 * @returns Its config and its parameters in f64.
 */
export async function readModel(
  name: string,
): Promise<{ config: ModelConfig; parameters: Map<string, Float64Array> }> {
  const config = await readModelConfig(`${sharedPath}models/${name}`);
  return { config, parameters: await readTensors(`models/${name}/model.safetensors`) };
}

/**
 * Puts faulty_driver.c under Vulkan: a layer that loses the GPU when it is told to.
 *
 * @module
 */

import { join } from "node:path";
import { ROOT } from "./run.ts";

/** Builds the layer, and gives the environment that puts it under Vulkan. */
export async function buildLayer(folder: string): Promise<Record<string, string>> {
  const library = join(folder, "libfaulty_driver.so");
  const source = join(ROOT, "scripts/trouble/faulty_driver.c");
  const { success, stderr } = await new Deno.Command("cc", {
    args: ["-shared", "-fPIC", "-fvisibility=hidden", "-O1", "-o", library, source],
  }).output();
  if (!success) throw new Error(`cc failed: ${new TextDecoder().decode(stderr)}`);
  const layer = {
    name: "VK_LAYER_FALQON_faulty_driver",
    type: "GLOBAL",
    library_path: library,
    api_version: "1.3.0",
    implementation_version: "1",
    description: "Fails at a chosen moment",
  };
  const manifest = { file_format_version: "1.1.2", layer };
  await Deno.writeTextFile(join(folder, "faulty_driver.json"), JSON.stringify(manifest));
  return { VK_LAYER_PATH: folder, VK_INSTANCE_LAYERS: layer.name };
}

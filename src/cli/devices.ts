/**
 * `devices`: what the machine's GPU can do.
 *
 * @module
 */

import { DeviceError } from "../errors.ts";
import { type Device, type Provider, requestDevice } from "../gpu/device.ts";
import { command } from "./command.ts";
import type { Command } from "./command_type.ts";
import { formatBytes, formatCount, formatTable } from "./format.ts";
import { GPU_FLAGS } from "./shared_flags.ts";

/** The limits that decide which models fit and which kernels run, and how to show them. */
const LIMITS = {
  maxBufferSize: formatBytes,
  maxStorageBufferBindingSize: formatBytes,
  maxStorageBuffersPerShaderStage: formatCount,
  maxComputeWorkgroupStorageSize: formatBytes,
  maxComputeInvocationsPerWorkgroup: formatCount,
  maxComputeWorkgroupSizeX: formatCount,
  maxComputeWorkgroupsPerDimension: formatCount,
} as const;

/** The command `devices`. */
export const devices: Command = command({
  name: "devices",
  summary: "Show the GPU, its features and limits; with --provider auto as both providers see it",
  synopsis: "[options]",
  flags: GPU_FLAGS,
  async run({ provider = "native" }, terminal) {
    if (provider !== "auto") return terminal.stdout(await show(provider));
    terminal.stdout(await show("native"));
    try {
      terminal.stdout(await show("dawn"));
    } catch (error) {
      if (!(error instanceof DeviceError)) throw error;
      terminal.stdout(`dawn: ${error.message}\n`);
    }
  },
});

/** What a provider has, for either preference. */
async function show(provider: Provider): Promise<string> {
  const seen = new Set<string>();
  for (const powerPreference of ["high-performance", "low-power"] as const) {
    using device = await requestDevice({ provider, powerPreference });
    seen.add(describe(device));
  }
  return [...seen].join("");
}

function describe({ name, provider, gpu, hasF16, limits, matrixConfigs }: Device): string {
  const rows = Object.entries(LIMITS).map(([name, format]) =>
    [name, format(limits[name as keyof typeof LIMITS])] as const
  );
  const matrices = matrixConfigs.map((config) =>
    `${config.M}×${config.N}×${config.K} ${config.componentType} to ${config.resultComponentType}`
  );
  return `${name}\n` +
    `  provider: ${provider}\n` +
    `  f16: ${hasF16 ? "yes" : "no"}\n` +
    `  subgroup matrices: ${matrices.join(", ") || "none"}\n` +
    `  features in use: ${[...gpu.features].sort().join(", ")}\n` +
    `  limits:\n${formatTable(rows)}`;
}

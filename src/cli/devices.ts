/**
 * `devices`: what the machine's GPU can do.
 *
 * @module
 */

import { type Device, requestDevice } from "../gpu/device.ts";
import { type Command, command } from "./command.ts";
import { formatBytes, formatCount, formatTable } from "./format.ts";

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
  summary: "Show the GPU, its features and limits",
  synopsis: "",
  flags: {},
  async run(_, terminal) {
    const seen = new Set<string>();
    for (const powerPreference of ["high-performance", "low-power"] as const) {
      using device = await requestDevice({ powerPreference });
      const text = describe(device);
      if (!seen.has(text)) terminal.stdout(text);
      seen.add(text);
    }
  },
});

function describe({ info, gpu, hasF16, limits }: Device): string {
  const rows = Object.entries(LIMITS).map(([name, format]) =>
    [name, format(limits[name as keyof typeof LIMITS])] as const
  );
  return `${info.description || info.vendor}\n` +
    `  f16: ${hasF16 ? "yes" : "no"}\n` +
    `  features in use: ${[...gpu.features].sort().join(", ")}\n` +
    `  limits:\n${formatTable(rows)}`;
}

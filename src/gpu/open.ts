/**
 * Opens a WebGPU device from options, natively or through Dawn.
 *
 * @module
 */

import { checkBoolean, checkOneOf, checkOptions, type Names } from "../checks.ts";
import { DeviceError } from "../errors.ts";
import { loadDawn } from "./dawn.ts";
import { reasonOf } from "./health.ts";
import {
  F16_MATRIX,
  SUBGROUP_MATRIX,
  subgroupMatrixConfigs,
  supportsMatrix,
} from "./subgroup_matrix.ts";

/**
 * The WebGPU implementation behind a device: the runtime's own, or Dawn, which reaches tensor
 * cores.
 */
export type Provider = "native" | "dawn";

/**
 * Values of the option `provider`: an implementation, or `auto` for Dawn where it works, else
 * native.
 */
export const PROVIDERS: readonly (Provider | "auto")[] = ["native", "dawn", "auto"];

const PREFERENCES: readonly GPUPowerPreference[] = ["low-power", "high-performance"];

/** Options of `requestDevice`. */
export interface DeviceOptions {
  /**
   * Which WebGPU implementation to use. "dawn" multiplies on tensor cores; it loads the npm package
   * `webgpu` (132 MB, native code: `--allow-ffi`). "auto" takes Dawn if it works, else native.
   * Default "native".
   */
  provider?: Provider | "auto";
  /**
   * With provider "auto": called with the reason, one sentence, before the native device is opened.
   */
  onFallback?: (reason: string) => void;
  /** Which adapter to prefer where there are several. Default "high-performance". */
  powerPreference?: GPUPowerPreference;
  /** Use half precision where the device has it. Default true. */
  f16?: boolean;
}

/** The names of {@linkcode DeviceOptions}. */
const DEVICE_NAMES: Names<DeviceOptions> = {
  provider: true,
  onFallback: true,
  powerPreference: true,
  f16: true,
};

/** A device, and its adapter's description of itself. */
export interface OpenedDevice {
  gpu: GPUDevice;
  info: GPUAdapterInfo;
  /** Whether its WGSL has `dot4I8Packed`, which GPUs have as one instruction. */
  hasPackedDot: boolean;
  /** Whether its WGSL says `enable subgroups` where it uses them. */
  subgroupDirective: boolean;
}

/** What an implementation's WGSL can do on every device; older ones do not tell. */
interface LanguageFeatures {
  readonly wgslLanguageFeatures?: { has(name: string): boolean };
}

/** Limits that this package raises above WebGPU's defaults, to what the adapter offers. */
const RAISED_LIMITS = [
  "maxBufferSize",
  "maxStorageBufferBindingSize",
  "maxComputeWorkgroupStorageSize",
  "maxComputeInvocationsPerWorkgroup",
  "maxComputeWorkgroupSizeX",
  "maxStorageBuffersPerShaderStage",
] as const;

/** Features that are used where the adapter has them. */
const WANTED_FEATURES: readonly GPUFeatureName[] = [
  "timestamp-query",
  "shader-f16",
  "subgroups",
  SUBGROUP_MATRIX,
];

/** The feature of WGSL that multiplies four signed bytes by four at a time. */
const PACKED_DOT = "packed_4x8_integer_dot_product";

/**
 * A feature that Deno's adapters do not list, although their devices have it when it is requested.
 */
const UNLISTED_FEATURE: GPUFeatureName = "subgroups";

/**
 * Opens a device of the provider that the options name.
 *
 * @throws {DeviceError} where there is no adapter, or it refuses.
 * @throws {OptionError} for another provider.
 */
export async function openGpu(
  options: DeviceOptions,
): Promise<OpenedDevice & { provider: Provider }> {
  checkOptions("requestDevice", options, DEVICE_NAMES);
  const { provider = "native", onFallback, f16 = true, powerPreference } = options;
  checkOneOf("provider", provider, PROVIDERS);
  checkBoolean("f16", f16);
  if (powerPreference !== undefined) checkOneOf("powerPreference", powerPreference, PREFERENCES);
  if (provider !== "native") {
    try {
      return { ...await openDawn(options), provider: "dawn" };
    } catch (error) {
      if (provider === "dawn" || !(error instanceof DeviceError)) throw error;
      onFallback?.(error.message);
    }
  }
  return { ...await openNative(options), provider: "native" };
}

/**
 * Opens a device of the runtime's own WebGPU.
 *
 * @throws {DeviceError} where there is no adapter, or it refuses.
 */
export async function openNative(options: DeviceOptions): Promise<OpenedDevice> {
  if (!navigator.gpu) {
    throw new DeviceError(
      "Cannot open a GPU as this runtime has no WebGPU (navigator.gpu): use Deno 2.9 or later",
    );
  }
  const remedy = "install a Vulkan driver (on Debian or Ubuntu without a GPU: " +
    "apt-get install libvulkan1 mesa-vulkan-drivers)";
  const adapter = await requestAdapter(navigator.gpu, "native WebGPU", options, remedy);
  return await openAdapter(navigator.gpu as LanguageFeatures, adapter, "native", options);
}

/**
 * Opens a device of Dawn that has tensor cores.
 *
 * @throws {DeviceError} where Dawn cannot be loaded, there is no adapter, the adapter has no tensor
 * cores, or it refuses.
 */
export async function openDawn(options: DeviceOptions): Promise<OpenedDevice> {
  const remedy = "install your GPU's driver, or take the provider native";
  const dawn = await loadDawn();
  const adapter = await requestAdapter(dawn, "Dawn", options, remedy);
  if (!supportsMatrix({ matrixConfigs: subgroupMatrixConfigs(adapter) }, F16_MATRIX)) {
    const name = nameOf(adapter.info, "dawn");
    throw new DeviceError(
      `Cannot use Dawn as it offers no 16×16×16 matrices of f16 on ${name}: use an NVIDIA GPU ` +
        "with tensor cores and a current driver, or the provider native",
    );
  }
  return await openAdapter(dawn as LanguageFeatures, adapter, "dawn", options);
}

/**
 * The name of a GPU: Dawn has it in `device`, Deno in `description`, where Dawn has the driver's.
 */
export function nameOf(
  { description, device, vendor }: GPUAdapterInfo,
  provider: Provider,
): string {
  return (provider === "dawn" ? device : description) || vendor || "GPU";
}

async function requestAdapter(
  gpu: GPU,
  by: string,
  { powerPreference = "high-performance" }: DeviceOptions,
  remedy: string,
): Promise<GPUAdapter> {
  const adapter = await gpu.requestAdapter({ powerPreference });
  if (adapter) return adapter;
  throw new DeviceError(`Cannot open a GPU by ${by} as it finds no adapter: ${remedy}`);
}

async function openAdapter(
  by: LanguageFeatures,
  adapter: GPUAdapter,
  provider: Provider,
  { f16 = true }: DeviceOptions,
): Promise<OpenedDevice> {
  const { info, features, limits } = adapter;
  const hasPackedDot = by.wgslLanguageFeatures?.has(PACKED_DOT) === true;
  const requiredFeatures = WANTED_FEATURES.filter((name) =>
    features.has(name) && (f16 || name !== "shader-f16")
  );
  const requiredLimits = Object.fromEntries(RAISED_LIMITS.map((name) => [name, limits[name]]));
  const opened = async (gpu: GPUDevice): Promise<OpenedDevice> => ({
    gpu,
    info,
    hasPackedDot,
    subgroupDirective: await takesSubgroupDirective(gpu),
  });
  if (provider === "native" && !features.has(UNLISTED_FEATURE)) {
    try {
      const more = [...requiredFeatures, UNLISTED_FEATURE];
      return await opened(await adapter.requestDevice({ requiredFeatures: more, requiredLimits }));
    } catch {
      // It has no subgroups, or fails for another reason, which the request without them will
      // report.
    }
  }
  try {
    return await opened(await adapter.requestDevice({ requiredFeatures, requiredLimits }));
  } catch (error) {
    throw new DeviceError(
      `Cannot open ${nameOf(info, provider)} as it refused: ${
        reasonOf((error as Error).message)
      }; ` +
        "close other programs that use it, or update its driver",
      { cause: error },
    );
  }
}

/**
 * Whether kernels may say `enable subgroups`. WebGPU wants the directive wherever subgroups are used, as Tint does; naga
 * refuses it until its subgroups are all of WebGPU's (gfx-rs/wgpu, issue 8202). Which of them is behind a provider is
 * not for its name to say: a later runtime's may take it, and `navigator.gpu` may have been replaced.
 */
async function takesSubgroupDirective(gpu: GPUDevice): Promise<boolean> {
  if (!gpu.features.has("subgroups")) return false;
  gpu.pushErrorScope("validation");
  gpu.createShaderModule({
    label: "directive",
    code: "enable subgroups; @compute @workgroup_size(1) fn main() {}",
  });
  return await gpu.popErrorScope() === null;
}

/**
 * Matrices that the invocations of a subgroup multiply together: tensor cores, where a device has
 * them.
 *
 * A device lists the configurations that it multiplies. A kernel asks for the one that it is
 * written for.
 *
 * @module
 */

/** The name of the feature that opens tensor cores to kernels. Dawn alone has it. */
export const SUBGROUP_MATRIX: GPUFeatureName =
  "chromium-experimental-subgroup-matrix" as GPUFeatureName;

/** One kind of subgroup matrices, [M, K]·[K, N]. */
export interface SubgroupMatrixConfig {
  /** Type of the factors, such as "f16". */
  readonly componentType: string;
  /** Type of the product, such as "f32". */
  readonly resultComponentType: string;
  /** Rows of the left factor and of the product. */
  readonly M: number;
  /** Columns of the right factor and of the product. */
  readonly N: number;
  /** Columns of the left factor and rows of the right one. */
  readonly K: number;
}

/** What the kernels of `wgsl/shared/fragments.wgsl` are made of: f16 factors, f32 sums. */
export const F16_MATRIX: SubgroupMatrixConfig = {
  componentType: "f16",
  resultComponentType: "f32",
  M: 16,
  N: 16,
  K: 16,
};

/** What the kernels of `wgsl/shared/fragments_int8.wgsl` are made of: signed bytes, exact sums. */
export const I8_MATRIX: SubgroupMatrixConfig = {
  componentType: "i8",
  resultComponentType: "i32",
  M: 16,
  N: 16,
  K: 32,
};

/** Invocations of a subgroup for which the kernels for tensor cores are written. */
const SUBGROUP_SIZE = 32;

/**
 * The configurations that kernels can use on an adapter or device: none without the feature, and
 * none where subgroups have another size than 32 or several.
 */
export function subgroupMatrixConfigs(
  { features, info }: { features: GPUSupportedFeatures; info: GPUAdapterInfo },
): readonly SubgroupMatrixConfig[] {
  // Adapters that do not tell their sizes give none, or 0.
  const sizes = [info.subgroupMinSize, info.subgroupMaxSize].filter(Boolean);
  if (!features.has(SUBGROUP_MATRIX) || sizes.some((size) => size !== SUBGROUP_SIZE)) return [];
  const { subgroupMatrixConfigs: listed = [] } = info as {
    subgroupMatrixConfigs?: Iterable<SubgroupMatrixConfig>;
  };
  return [...listed].map(({ componentType, resultComponentType, M, N, K }) => ({
    componentType,
    resultComponentType,
    M: Number(M),
    N: Number(N),
    K: Number(K),
  })).filter(({ componentType }) => componentType !== "f16" || features.has("shader-f16"));
}

/** Whether a configuration is among those that a device lists. */
export function supportsMatrix(
  { matrixConfigs }: { readonly matrixConfigs: readonly SubgroupMatrixConfig[] },
  wanted: SubgroupMatrixConfig,
): boolean {
  const keys = ["componentType", "resultComponentType", "M", "N", "K"] as const;
  return matrixConfigs.some((config) => keys.every((key) => config[key] === wanted[key]));
}

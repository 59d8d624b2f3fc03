// The number types of NF4 with double quantisation, from src/numerics/nf4.ts. Include-only.

struct Tables {
  dynamic: array<f32, 256>,           // the 8-bit type's values, ascending
  dynamic_midpoints: array<f32, 256>, // halfway between neighbours, 255 of them
  nf4: array<f32, 16>,
  nf4_midpoints: array<f32, 16>,
}

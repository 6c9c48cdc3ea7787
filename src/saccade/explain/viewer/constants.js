/** Of saccade.explain: written by tools/viewer_colors.py. */

export const AMBER = [245, 158, 44];
export const ANCHORS = [
  [8.0, 6.0, 30.0],
  [61.0, 15.0, 92.0],
  [120.0, 28.0, 109.0],
  [181.0, 50.0, 84.0],
  [229.0, 92.0, 48.0],
  [251.0, 155.0, 6.0],
  [252.0, 255.0, 164.0],
];
export const IMAGE_LEFT = [0.35, 0.5];
export const INK = [27, 30, 36];
export const MIDDLE_GREY = 128.0;
export const OPACITY = [0.4, 0.8];
export const OUTLINES = [
  [0, 114, 178],
  [213, 94, 0],
  [0, 135, 98],
  [176, 82, 143],
  [120, 94, 0],
  [90, 90, 90],
];
export const PAPER = [255, 255, 255];
export const WHITE_ADDED = [0.0, 0.5];
export const LEAST_CONTRAST = 4.0;
export const LEAST_LEAD = 1.2;
export const LABELLED_BOXES = 3;
export const PALENESS = 0.4;
export const SMOOTHING = 0.5;
export const CUT = 0.99;
export const TOUCHING = 0.0001;

/** Images that were given to the page: uploaded once, and again where the server has dropped them. */

import { ApiError, call } from "./api.js";
import { element } from "./elements.js";
import { counted } from "/viewer/numbers.js";

const KEPT = 6;
const held = new Map(); // token: the image's bytes
const renewed = new Map(); // token that the server dropped: promise of the one that it has now
const copies = new Map(); // example of another run: promise of its token

/** Upload an image's bytes; its token. Raises ApiError. */
export async function upload(blob, { limits, signal, onWait } = {}) {
  if (limits && blob.size > limits.upload) {
    const [size, most] = [blob.size, limits.upload].map((bytes) => `${(bytes / 1e6).toFixed(1)} MB`);
    throw new ApiError(413, `The image has ${size}, and this server takes at most ${most}: choose a smaller one.`);
  }
  const type = blob.type || "application/octet-stream";
  const response = await call("/api/images", { method: "POST", body: blob, type, signal, onWait });
  const { image } = await response.json();
  held.set(image, blob);
  for (const oldest of held.keys()) {
    if (held.size <= KEPT) break;
    held.delete(oldest);
  }
  return image;
}

/**
 * What `request` gives for the fields that name the image to a run: its own example by number, else the token of an
 * upload, made again where the server no longer has it: `onRenewed(token)`. Raises ApiError where that cannot be.
 */
export async function withImage(image, run, request, onRenewed) {
  if (!image) return request({});
  if (image.example !== undefined && image.run === run) return request({ example: image.example });
  const token = image.token ?? (await copyOf(image));
  try {
    return await request({ image: await (renewed.get(token) ?? token) });
  } catch (error) {
    if (error.status !== 404) throw error;
    const fresh = await again(image, token, error);
    if (image.token) onRenewed(fresh);
    return request({ image: fresh });
  }
}

/** The token of an example's copy: what another run than its own is given. */
function copyOf({ run, example }) {
  const path = examplePath(run, example);
  if (!copies.has(path)) {
    const copied = call(path)
      .then((response) => response.blob())
      .then((blob) => upload(blob));
    copies.set(path, copied);
    copied.catch(() => copies.delete(path));
  }
  return copies.get(path);
}

async function again(image, token, error) {
  if (image.example !== undefined) {
    copies.delete(examplePath(image.run, image.example));
    return copyOf(image);
  }
  const blob = held.get(token);
  if (!blob) {
    throw new ApiError(
      error.status,
      `The image is no longer held: choose it again, all else is kept. (${error.message})`,
    );
  }
  const last = renewed.get(token);
  if (last) await last.catch(() => {});
  const fresh = upload(blob);
  renewed.set(token, fresh);
  fresh.catch(() => renewed.delete(token));
  return fresh;
}

/** Where the image of a run's example is. */
export const examplePath = (run, number) => `/api/runs/${encodeURIComponent(run)}/examples/${number}/image`;

/** The image as an element: null where only the server has it. */
export async function pictureOf(image) {
  if (!image) return null;
  if (image.example !== undefined) {
    return element("img", {
      src: examplePath(image.run, image.example),
      alt: `Example ${image.example} of ${image.run}`,
    });
  }
  const blob = held.get(image.token);
  return blob ? drawn(blob) : null;
}

async function drawn(blob) {
  const bitmap = await createImageBitmap(blob);
  const canvas = element("canvas", {
    width: bitmap.width,
    height: bitmap.height,
    role: "img",
    "aria-label": `The chosen image, ${bitmap.width} by ${counted(bitmap.height, "pixel")}`,
  });
  canvas.getContext("2d").drawImage(bitmap, 0, 0);
  bitmap.close();
  return canvas;
}

/** The first image of what was dropped or pasted, null where there is none. */
export function imageIn(transfer) {
  const files = [...(transfer?.files ?? [])];
  return files.find((file) => file.type.startsWith("image/")) ?? files[0] ?? null;
}

/** Take an image that is dropped anywhere, pasted, or chosen; `onImage(blob)` and `onNothing(what)` are told. */
export function takeImages({ file, overlay, onImage, onNothing }) {
  file.addEventListener("change", () => {
    if (file.files[0]) onImage(file.files[0]);
    file.value = "";
  });
  let inside = 0;
  const show = (by) => {
    inside = Math.max(0, inside + by);
    overlay.hidden = inside === 0;
  };
  addEventListener("dragenter", () => show(1));
  addEventListener("dragleave", () => show(-1));
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => {
    event.preventDefault();
    show(-inside);
    const dropped = imageIn(event.dataTransfer);
    if (dropped) onImage(dropped);
    else onNothing("That was no file: save the image first, then drop its file here.");
  });
  addEventListener("paste", (event) => {
    const pasted = imageIn(event.clipboardData);
    if (!pasted) return;
    event.preventDefault();
    onImage(pasted);
  });
}

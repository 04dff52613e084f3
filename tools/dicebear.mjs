// What the scripts that draw avatars share: run them where node_modules/ is.
import fs from 'node:fs';
import path from 'node:path';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const modules = path.join(process.cwd(), 'node_modules/');
const { Resvg } = createRequire(modules)('@resvg/resvg-js');

/** The package @dicebear/NAME. */
export const dicebear = (name) => {
  const folder = path.join(modules, '@dicebear', name);
  const { main = 'lib/index.js' } = JSON.parse(fs.readFileSync(path.join(folder, 'package.json')));
  return import(pathToFileURL(path.join(folder, main)).href);
};

// ToonHead's masks are meant to go by alpha; resvg goes by lightness, and an open mouth, dark red, would be hardly there.
const white = (svg) => svg.replace(/<mask [^>]*mask-type:alpha.*?<\/mask>/g, (mask) => mask.replace(/fill="#\w+"/g, 'fill="#fff"'));

/** Write an SVG as PNG of so many pixels. */
export const draw = (svg, file, size) => {
  const drawn = new Resvg(white(svg), { fitTo: { mode: 'width', value: Number(size) }, font: { loadSystemFonts: false } });
  fs.writeFileSync(file, drawn.render().asPng());
};

// Draw heads for the style `toon`, with open eyes, hair and skin as people have them; their names end in their moods.
//   npm i @dicebear/core@9 @dicebear/toon-head@9 @resvg/resvg-js@2 && node tools/draw_heads.mjs COUNT SIZE FOLDER
// Or, for COUNT, a file of rows {file, background, options, lips}: these heads, as tools/redraw_heads.py and
// tools/heads_of_codes.py want them; with lips closed mouths are dark and thick.
// Eyes and mouth lie about where aligned photos have them. ToonHead: Johan Melin, CC BY 4.0; DiceBear: MIT.
import fs from 'node:fs';
import path from 'node:path';
import { dicebear, draw } from './dicebear.mjs';

const [count, size, out] = process.argv.slice(2);
const { createAvatar } = await dicebear('core');
const heads = await dicebear('toon-head');
const head = (options, file, lips) => {
  const svg = createAvatar(heads, { scale: 130, translateY: -4, ...options }).toString();
  draw(lips ? svg.replaceAll(THIN, DARK_LIPS) : svg, path.join(out, file), size);
};
const THIN = 'fill="#3F2626" fill-opacity="0.5"'; // a closed mouth, which is hardly seen in few pixels
const DARK_LIPS = 'fill="#3F2626" stroke="#3F2626" stroke-width="5"';

const DARK = ['1a1a1a', '1a1a1a', '2c1b18', '2c1b18', '4a312c', '8c8c8c', 'e8e1e1'];
const HAIR = [...DARK, '724133', '724133', 'a55728', 'b58143', 'd6b370', 'ecdcbf'];
const LIGHT_SKIN = ['f6d5bd', 'f1c3a5', 'f1c3a5', 'e0ac8a', 'c68e7a'];
const DARK_SKIN = ['b98e6a', 'a36b4f', '7d4f38', '5c3829'];
const BACKS = ['b6e3f4', 'd1d4f9', 'ffdfbf', 'e8e8e8', 'd8d8d8', 'bcbcbc', '9fb8c8', '8a8fa3', '5a6a8a', '3a3f4a', '6a6a6a', 'f4f0ea'];
const MOODS = [
  ['happy', 'laugh', ['happy', 'neutral']], ['happy', 'laugh', ['neutral']], ['calm', 'smile', ['neutral']],
  ['calm', 'smile', ['neutral', 'happy']], ['calm', 'smile', ['neutral']], ['sad', 'sad', ['sad']], ['angry', 'angry', ['angry']],
];

fs.mkdirSync(out, { recursive: true });
const listed = fs.existsSync(count) ? fs.readFileSync(count, 'utf8').trim().split('\n').map((row) => JSON.parse(row)) : [];
for (const { file, background, options, lips } of listed) {
  const parts = Object.fromEntries(['hair', 'rearHair', 'beard'].map((part) => [`${part}Probability`, options[part] ? 100 : 0]));
  const chosen = Object.fromEntries(Object.entries(options).map(([part, value]) => [part, [value.replace('#', '')]]));
  head({ seed: '', backgroundColor: [background], ...parts, ...chosen }, file, lips);
}
for (let i = 0; i < (listed.length ? 0 : Number(count)); i++) {
  const [mood, mouth, eyebrows] = MOODS[i % MOODS.length];
  const long = Math.floor(i / MOODS.length) % 2 === 0;
  const light = Math.floor(i / (2 * MOODS.length)) % 5 < 3;
  head({
    seed: `head-${i}`, backgroundColor: BACKS, eyes: ['wide'], mouth: [mouth], eyebrows,
    hairColor: light ? HAIR : DARK, skinColor: light ? LIGHT_SKIN : DARK_SKIN,
    hair: long ? ['sideComed', 'bun', 'bun'] : ['sideComed', 'undercut', 'spiky'], hairProbability: long ? 100 : 88,
    rearHairProbability: long ? 100 : 0, beardProbability: long ? 0 : 20, beard: ['fullBeard', 'chin', 'chinMoustache'],
  }, `${String(i).padStart(5, '0')}-${mood}.png`);
}

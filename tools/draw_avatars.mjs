// Draw the avatars that clip-faces learns from, with labels: node draw_avatars.mjs OUT [SIZE] [SEED] [SHARE]
//
//   npm i @dicebear/core@9 @dicebear/{avataaars,toon-head,lorelei,open-peeps,micah,big-smile}@9 @resvg/resvg-js@2
//
// Run it where node_modules/ is. OUT gets STYLE/00000.png ... and labels.jsonl with one object a line: file, style, and
// what is known: mood, hair, glasses, beard. Designs: avataaars by Pablo Stanley, free for personal and commercial use;
// ToonHead by Johan Melin, Micah by Micah Lanier and Big Smile by Ashley Seo, CC BY 4.0; Lorelei by Lisa Wischofsky and
// Open Peeps by Pablo Stanley, CC0.
import fs from 'node:fs';
import path from 'node:path';
import { dicebear, draw } from './dicebear.mjs';

const [out, size = '80', seed = 'clip', share = '1'] = process.argv.slice(2);
const { createAvatar } = await dicebear('core');

const HAIR = {
  black: ['1a1a1a', '2c1b18', '0d0d10', '26201e'],
  brown: ['4a312c', '724133', '5b3a26', '6b4a35'],
  auburn: ['a55728', '9c4a22', 'a04f2e'],
  blond: ['b58143', 'd6b370', 'ecdcbf', 'c99b52', 'e6c97a'],
  red: ['c93305', 'd2401a', 'b52a10'],
  gray: ['8c8c8c', '7d7f83', '9a9a98'],
  white: ['e8e1e1', 'f2f0ee', 'dedede'],
  blue: ['4b5d8a', '3b5ba0', '5a76b5'],
  purple: ['6b3f6e', '7a4a8c', '5e3a75'],
  green: ['3f6b4b', '4f8a55'],
  pink: ['d987a8', 'e79ab8'],
};
const SKIN = ['ffdbb4', 'f6d5bd', 'f1c3a5', 'edb98a', 'e0ac8a', 'd08b5b', 'c68e7a', 'ae5d29', 'a36b4f', '7d4f38', '614335', '5c3829'];

// Per style: how many, the frame in which eyes and mouth lie about where aligned photos have them, and its moods.
const STYLES = {
  avataaars: {
    count: 6500, frame: { scale: 150, translateY: 15 }, hair: 'hairColor',
    moods: {
      happy: { mouth: ['smile', 'twinkle'], eyes: ['default', 'happy', 'wink', 'hearts'], eyebrows: ['default', 'defaultNatural', 'raisedExcitedNatural', 'flatNatural'] },
      sad: { mouth: ['sad', 'concerned'], eyes: ['default', 'cry', 'closed', 'side'], eyebrows: ['sadConcerned', 'sadConcernedNatural'] },
      angry: { mouth: ['serious', 'grimace', 'concerned'], eyes: ['default', 'squint', 'side'], eyebrows: ['angry', 'angryNatural', 'frownNatural'] },
      surprised: { mouth: ['disbelief', 'screamOpen'], eyes: ['surprised'], eyebrows: ['raisedExcited', 'raisedExcitedNatural'] },
      neutral: { mouth: ['default', 'serious'], eyes: ['default', 'side'], eyebrows: ['default', 'flatNatural', 'defaultNatural'] },
    },
  },
  'toon-head': {
    count: 4000, frame: { scale: 130, translateY: -4 }, hair: 'hairColor',
    moods: {
      happy: { mouth: ['smile', 'laugh'], eyes: ['happy', 'wide', 'wink'], eyebrows: ['happy', 'neutral'] },
      sad: { mouth: ['sad'], eyes: ['humble', 'wide', 'bow'], eyebrows: ['sad'] },
      angry: { mouth: ['angry'], eyes: ['wide', 'humble'], eyebrows: ['angry'] },
      surprised: { mouth: ['agape'], eyes: ['wide'], eyebrows: ['raised'] },
    },
  },
  lorelei: { count: 2000, frame: { scale: 120, translateY: 2 }, hair: 'hairColor', moods: { happy: { mouth: 'happy' }, sad: { mouth: 'sad' } } },
  'open-peeps': {
    count: 1500, frame: { scale: 150, translateX: 4, translateY: 12 },
    moods: {
      happy: { face: ['smile', 'smileBig', 'smileLOL', 'smileTeethGap', 'cute', 'lovingGrin1', 'lovingGrin2', 'calm'] },
      sad: { face: ['solemn', 'tired', 'concerned'] },
      angry: { face: ['angryWithFang', 'rage', 'veryAngry'] },
      neutral: { face: ['serious', 'blank'] },
    },
  },
  micah: {
    count: 1500, frame: { scale: 145, translateY: 14 }, hair: 'hairColor',
    moods: {
      happy: { mouth: ['laughing', 'smile'] },
      sad: { mouth: ['sad', 'frown'], eyebrows: ['up', 'eyelashesUp'], eyes: ['eyes', 'round', 'eyesShadow'] },
      surprised: { mouth: ['surprised'], eyes: ['eyes', 'round', 'eyesShadow'] },
    },
  },
  'big-smile': {
    count: 1500, frame: { scale: 115 }, hair: 'hairColor',
    moods: {
      happy: { mouth: ['openedSmile', 'gapSmile', 'braces', 'kawaii'], eyes: ['cheery', 'normal', 'winking', 'starstruck'] },
      sad: { mouth: ['openSad', 'unimpressed'], eyes: ['sad'] },
      angry: { mouth: ['openSad', 'unimpressed', 'teethSmile'], eyes: ['angry'] },
      neutral: { mouth: ['unimpressed'], eyes: ['normal'] },
    },
  },
};

let state = [...seed].reduce((a, c) => (Math.imul(a, 31) + c.charCodeAt(0)) >>> 0, 2166136261);
const random = () => { // xorshift, so that a seed draws the same pictures again
  state ^= state << 13; state ^= state >>> 17; state ^= state << 5;
  return (state >>> 0) / 2 ** 32;
};
const pick = (list) => list[Math.floor(random() * list.length)];
const near = (hex, by) => hex.match(/../g).map((c) => Math.max(0, Math.min(255, parseInt(c, 16) + Math.round((random() * 2 - 1) * by))).toString(16).padStart(2, '0')).join('');

// What a style calls glasses, beards and hair; and in which of its pictures no hair is seen.
const chances = (glasses, beard) => ({
  avataaars: { accessoriesProbability: glasses ? 100 : 0, accessories: glasses === 'sunglasses' ? ['sunglasses', 'wayfarers'] : ['prescription01', 'prescription02', 'round'], facialHairProbability: beard ? 100 : 0, topProbability: 97 },
  'toon-head': { beardProbability: beard ? 100 : 0 },
  lorelei: { glassesProbability: glasses ? 100 : 0, beardProbability: beard ? 100 : 0 },
  'open-peeps': { accessoriesProbability: glasses ? 100 : 0, accessories: glasses === 'sunglasses' ? ['sunglasses', 'sunglasses2'] : ['glasses', 'glasses2', 'glasses3', 'glasses4', 'glasses5'], facialHairProbability: beard ? 100 : 0, maskProbability: 0 },
  micah: { glassesProbability: glasses ? 100 : 0, facialHairProbability: beard ? 100 : 0 },
  'big-smile': { accessoriesProbability: glasses ? 100 : 0, accessories: [glasses === 'sunglasses' ? 'sunglasses' : 'glasses'] },
});
const SUNGLASSES = ['avataaars', 'open-peeps', 'big-smile'];
const HIDDEN = /^(hat|hijab|turban|winterHat.*|sides|mrClean|mrT|dougFunny|shavedHead)$/;

const rows = [];
for (const [style, about] of Object.entries(STYLES)) {
  const library = await dicebear(style);
  const known = library.schema.properties;
  fs.mkdirSync(path.join(out, style), { recursive: true });
  const names = Object.keys(about.moods);
  for (let i = 0; i < about.count * Number(share); i++) {
    const mood = names[i % names.length];
    const features = Object.fromEntries(Object.entries(about.moods[mood]).map(([key, value]) => [key, typeof value === 'string' ? known[key].items.enum.filter((v) => v.startsWith(value)) : value]));
    const sort = random();
    const glasses = style === 'toon-head' ? '' : sort < 0.12 && SUNGLASSES.includes(style) ? 'sunglasses' : sort < 0.35 ? 'glasses' : '';
    const beard = style !== 'big-smile' && random() < 0.2;
    const hair = pick(Object.keys(HAIR)), colour = near(pick(HAIR[hair]), 10);
    const skin = near(pick(SKIN), 10), back = near(pick(['ffffff', 'b6e3f4', 'c0aede', 'd1d4f9', 'ffd5dc', 'ffdfbf', 'cfe8cf', '9fb8c8', '8a8fa3', '3a3a44', '6a5a4a', '708060']), 40);
    const options = {
      seed: `${seed}-${style}-${i}`, backgroundColor: [back], ...about.frame, ...features, ...chances(glasses, beard)[style],
      hairColor: [colour], headContrastColor: [colour], facialHairColor: [random() < 0.8 ? colour : near(pick(HAIR.brown), 10)],
      ...(style === 'lorelei' ? { skinColor: [random() < 0.3 ? 'ffffff' : skin], hairColor: [random() < 0.4 ? '000000' : colour] } : { skinColor: [skin], baseColor: [skin] }),
    };
    const avatar = createAvatar(library, options);
    const drawn = avatar.toJson().extra;
    const file = `${style}/${String(i).padStart(5, '0')}.png`;
    draw(avatar.toString(), path.join(out, file), size);
    const seen = about.hair && (drawn.top ?? drawn.hair) !== undefined && !HIDDEN.test(drawn.top ?? drawn.hair);
    const hairSeen = style === 'lorelei' && options.hairColor[0] === '000000' ? 'black' : hair;
    rows.push(JSON.stringify({ file, style, mood, hair: seen ? hairSeen : null, glasses, beard }));
  }
  console.log(style, rows.length);
}
fs.writeFileSync(path.join(out, 'labels.jsonl'), `${rows.join('\n')}\n`);

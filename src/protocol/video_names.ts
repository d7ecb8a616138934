/** What counts as a video by its name, where a folder is looked through; a file that is named itself is always tried. */
export const videoExtensions: readonly string[] = (
  'mp4 m4v mov qt mkv webm avi ts m2ts mts mpg mpeg m2v flv f4v wmv asf ogv ogg mxf ivf y4m ' +
  '264 h264 avc 265 h265 hevc obu vob 3gp 3g2 rm rmvb dv gif'
).split(' ');

/** Whether a file of this name is taken for a video. `.ts` is TypeScript more often than a transport stream. */
export function isVideoName(name: string): boolean {
  const dot = name.lastIndexOf('.');
  return dot > 0 && videoExtensions.includes(name.slice(dot + 1).toLowerCase());
}

/** Every command and its keys, in one list: what handles the keyboard is what the help shows. */
import type { View } from './view.svelte.ts';

export interface Command {
  readonly keys: readonly string[];
  readonly label: string;
  readonly group: 'Play' | 'Distortions' | 'Zoom' | 'Select' | 'View';
  run(view: View): void;
}

export const commands: readonly Command[] = [
  { group: 'Play', keys: ['Space', 'k'], label: 'Play or pause', run: (v) => v.togglePlaying() },
  { group: 'Play', keys: ['ArrowLeft'], label: 'One frame back', run: (v) => v.step(-1) },
  { group: 'Play', keys: ['ArrowRight'], label: 'One frame on', run: (v) => v.step(1) },
  {
    group: 'Play',
    keys: ['Shift+ArrowLeft'],
    label: 'One second back',
    run: (v) => v.step(-Math.round(v.fps)),
  },
  {
    group: 'Play',
    keys: ['Shift+ArrowRight'],
    label: 'One second on',
    run: (v) => v.step(Math.round(v.fps)),
  },
  { group: 'Play', keys: ['Home'], label: 'First frame', run: (v) => v.seek(0) },
  { group: 'Play', keys: ['End'], label: 'Last frame', run: (v) => v.seek(v.duration) },
  { group: 'Distortions', keys: ['n'], label: 'Next distortion', run: (v) => v.walk(1) },
  { group: 'Distortions', keys: ['p'], label: 'Previous distortion', run: (v) => v.walk(-1) },
  { group: 'Distortions', keys: ['w'], label: 'Worst moment', run: (v) => v.worst() },
  { group: 'Distortions', keys: ['b'], label: 'Show or hide boxes', run: (v) => v.toggleBoxes() },
  { group: 'Zoom', keys: ['+', '='], label: 'Zoom in at the playhead', run: (v) => v.zoom(2) },
  { group: 'Zoom', keys: ['-'], label: 'Zoom out', run: (v) => v.zoom(0.5) },
  { group: 'Zoom', keys: ['0'], label: 'Whole clip', run: (v) => v.fit() },
  {
    group: 'Zoom',
    keys: ['z'],
    label: 'Zoom to the selection',
    run: (v) => v.selection && v.show(v.selection),
  },
  {
    group: 'Zoom',
    keys: [','],
    label: 'Half a screen earlier',
    run: (v) => v.pan((v.range.start - v.range.end) / 2),
  },
  {
    group: 'Zoom',
    keys: ['.'],
    label: 'Half a screen later',
    run: (v) => v.pan((v.range.end - v.range.start) / 2),
  },
  { group: 'Select', keys: ['i'], label: 'Selection starts here', run: (v) => v.selectEdge('start') },
  { group: 'Select', keys: ['o'], label: 'Selection ends here', run: (v) => v.selectEdge('end') },
  { group: 'Select', keys: ['Escape'], label: 'Clear the selection', run: (v) => v.clearSelection() },
  { group: 'View', keys: ['a'], label: 'Ask about this', run: (v) => v.ask() },
  { group: 'View', keys: ['?'], label: 'This help', run: (v) => v.openHelp() },
];

/** The name that {@link Command.keys} would give a key press; undefined where a modifier makes it the host's. */
export function nameOf(event: KeyboardEvent): string | undefined {
  if (event.ctrlKey || event.metaKey || event.altKey) return undefined;
  if (event.key === ' ') return 'Space';
  if (event.key.length === 1) return event.key.toLowerCase();
  return event.shiftKey ? `Shift+${event.key}` : event.key;
}

const shown: Readonly<Record<string, string>> = {
  ArrowLeft: '←',
  ArrowRight: '→',
  Escape: 'Esc',
};

/** `Shift+ArrowLeft` → `['Shift', '←']`, `n` → `['N']`. */
export function keyCaps(key: string): string[] {
  return key.split(/(?<=.)\+/).map((part) => shown[part] ?? (part.length === 1 ? part.toUpperCase() : part));
}

/** The shortcut to show beside a control's name. */
export function shortcut(label: string): string {
  const command = commands.find((one) => one.label === label);
  return command ? `${label} (${keyCaps(command.keys[0] as string).join('+')})` : label;
}

/**
 * Runs what a key press means, unless a control took it or it is text. Returns whether it did.
 * Space and Enter on a control press the control.
 */
export function handleKey(event: KeyboardEvent, view: View): boolean {
  if (event.defaultPrevented || view.help) return false;
  const target = event.target instanceof Element ? event.target : null;
  if (target?.closest('input, select, textarea, [role=menu]')) return false;
  const name = nameOf(event);
  if (!name) return false;
  if (name === 'Space' && target?.closest('button, a, summary, [role=tab]')) return false;
  if (name.length === 1 && !view.letters && name !== '?') return false;
  const command = commands.find(({ keys }) => keys.includes(name));
  if (!command || view.duration <= 0) return false;
  event.preventDefault();
  command.run(view);
  return true;
}

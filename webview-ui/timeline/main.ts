import '../theme.css';
import { mount } from 'svelte';
import type { Assessment } from '../../src/assessment/record.ts';
import { type TimelineHost, type TimelineView, timelineProtocol } from '../../src/protocol/timeline.ts';
import { connectHost, type Host } from '../host.ts';
import App from './App.svelte';
import { View } from './view.svelte.ts';

const host: Host<TimelineHost> = connectHost<TimelineView<Assessment>, TimelineHost>({
  version: timelineProtocol,
  handlers: {},
  listeners: {
    snapshot: (snapshot) => {
      view.snapshot = snapshot;
      view.lost = null;
    },
    reveal: (wanted) => view.reveal(wanted),
  },
  onPeer: () => {
    view.lost = null;
  },
  onLost: (error) => {
    view.lost = error;
  },
});
const view: View = new View(host.connection, host.saved);
const target = document.getElementById('timeline');
if (target) mount(App, { target, props: { view, save: host.save } });

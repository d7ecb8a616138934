import '../theme.css';
import { mount } from 'svelte';
import {
  type ComparisonHost,
  type ComparisonView,
  comparisonViewProtocol,
} from '../../src/protocol/comparison_view.ts';
import { connectHost, type Host } from '../host.ts';
import App from './App.svelte';
import { Comparison } from './comparison.svelte.ts';

const host: Host<ComparisonHost> = connectHost<ComparisonView, ComparisonHost>({
  version: comparisonViewProtocol,
  handlers: {},
  listeners: {
    snapshot: (snapshot) => {
      comparison.snapshot = snapshot;
    },
  },
  onPeer: () => {
    comparison.lost = null;
  },
  onLost: (error) => {
    comparison.lost = error;
  },
});
const comparison: Comparison = new Comparison(host.connection);
const target = document.getElementById('comparison');
if (target) mount(App, { target, props: { comparison } });

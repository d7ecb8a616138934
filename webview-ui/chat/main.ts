import '../theme.css';
import { mount } from 'svelte';
import { type ChatHost, type ChatView, chatViewProtocol } from '../../src/protocol/chat_view.ts';
import { connectHost, type Host } from '../host.ts';
import App from './App.svelte';
import { Conversation } from './conversation.svelte.ts';

const host: Host<ChatHost> = connectHost<ChatView, ChatHost>({
  version: chatViewProtocol,
  handlers: {},
  listeners: {
    snapshot: (snapshot) => conversation.take(snapshot),
    turn: (turn) => conversation.takeTurn(turn),
    compose: ({ text }) => conversation.compose(text),
  },
  onPeer: () => {
    conversation.lost = null;
  },
  onLost: (error) => {
    conversation.lost = error;
  },
});
const conversation: Conversation = new Conversation(host.connection, host.saved);
const target = document.getElementById('chat');
if (target) mount(App, { target, props: { conversation, save: host.save } });

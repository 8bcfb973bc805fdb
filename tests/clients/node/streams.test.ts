// Client libraries from npm follow the streams. Each parses the data of every message it is given, as naive users do.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'

import { anonymous, baseUrl, client, freshId, freshLeaderboard, score, type Schemas } from './client.js'
import { Forwarder } from './forwarder.js'
import { libraries, type Follow, type Heard } from './libraries.js'

type Message = Schemas['StreamMessage']
type Of<Event extends Message['event']> = Extract<Message, { event: Event }>['data']

// What a stream has brought so far, with a way to wait for more.
class Watch {
  readonly messages: (Message & { id: string })[] = []
  #fault: unknown
  #wake: () => void = () => undefined
  readonly stop: () => void

  constructor(follow: Follow, url: string) {
    this.stop = follow(url, (heard) => {
      try {
        this.messages.push(this.#parse(heard))
      } catch (fault) {
        this.#fault ??= new Error(`${heard.event} cannot be parsed: ${JSON.stringify(heard)}`, { cause: fault })
      }
      this.#wake()
    })
  }

  #parse({ event, id, data }: Heard): Message & { id: string } {
    return { event, id, data: JSON.parse(data) } as Message & { id: string }
  }

  all<Event extends Message['event']>(event: Event): Of<Event>[] {
    return this.messages.filter((message) => message.event === event).map((message) => message.data as Of<Event>)
  }

  async until(what: string, arrived: () => boolean): Promise<void> {
    const deadline = AbortSignal.timeout(20_000)
    deadline.addEventListener('abort', () => this.#wake())
    while (this.#fault === undefined && !arrived()) {
      assert.ok(!deadline.aborted, `never came: ${what}; but ${JSON.stringify(this.messages, undefined, 1)}`)
      await new Promise<void>((wake) => (this.#wake = wake))
    }
    if (this.#fault !== undefined) throw this.#fault
  }
}

// The window that patches keep, by the rule that openapi.yaml gives for them.
function windowOf(messages: Message[]): Schemas['Entry'][] {
  let window: Schemas['Entry'][] = []
  let version: string | undefined
  for (const message of messages) {
    if (message.event === 'leaderboard') window = [...message.data.entries]
    if (message.event === 'leaderboard-patch') {
      assert.equal(message.data.since, version, 'a patch is missing')
      message.data.rows.forEach((row) => (window[row.rank - 1] = row))
      window.length = message.data.size
    }
    if ('version' in message.data && message.data.version) version = message.data.version
  }
  return window
}

function follows(library: string, follow: Follow): void {
  const watching = async (path: string, use: (watch: Watch, network: Forwarder) => Promise<void>): Promise<void> => {
    const network = await Forwarder.to(baseUrl)
    const watch = new Watch(follow, network.url + path)
    try {
      await use(watch, network)
    } finally {
      watch.stop()
      network.close()
    }
  }

  test(`${library}: every score is seen once and in order, also those while the connection was cut`, async () => {
    const { leaderboard, action } = await freshLeaderboard()
    await watching(`/api/leaderboards/${leaderboard}/stream`, async (watch, network) => {
      await watch.until('a snapshot', () => watch.all('leaderboard').length > 0)
      const versions: (string | null)[] = []
      const post = async (users: string[]): Promise<void> => {
        for (const user of users) versions.push((await score(action, user)).version)
      }
      const seen = () => watch.all('score-updated')
      await post(['ann', 'ben', 'ann'])
      await watch.until('three scores', () => seen().length >= 3)
      await network.cutWhile(() => post(['cem', 'ben', 'ben']))
      await post(['ann'])
      await watch.until('seven scores', () => seen().length >= 7)

      assert.deepEqual(seen().map((event) => event.version), versions)
      const before = [watch.all('leaderboard')[0]?.version, ...versions.slice(0, -1)]
      assert.deepEqual(seen().map((event) => event.since), before)
      assert.deepEqual(watch.messages.filter((message) => message.event === 'score-updated').map((message) => message.id), versions)
      assert.equal(watch.all('leaderboard').length, 1, 'it went on where it was, instead of starting afresh')
    })
  })

  test(`${library}: the top is the ranking's, before and after the connection was cut`, async () => {
    const { leaderboard, action } = await freshLeaderboard()
    await watching(`/api/leaderboards/${leaderboard}/stream?view=top&limit=3&hz=20`, async (watch, network) => {
      const top = () => windowOf(watch.messages).map((entry) => `${entry.rank} ${entry.userId} ${entry.score}`)
      const shows = (...rows: string[]) =>
        watch.until(rows.join(), () => watch.messages.length > 0 && top().join() === rows.join())
      await shows()
      await score(action, 'ann')
      await shows('1 ann 10')
      for (const user of ['ben', 'ben']) await score(action, user)
      await shows('1 ben 20', '2 ann 10')
      await network.cutWhile(async () => {
        for (const user of ['cem', 'cem', 'cem', 'dan']) await score(action, user)
      })
      await shows('1 cem 30', '2 ben 20', '3 ann 10')
      const { data } = await anonymous.GET('/api/leaderboards/{id}/entries', {
        params: { path: { id: leaderboard }, query: { limit: 3 } },
      })
      assert.deepEqual(windowOf(watch.messages), data?.entries)
    })
  })

  test(`${library}: whoever has a new name is heard of where the scores are, also while the connection was cut`, async () => {
    const { leaderboard, action } = await freshLeaderboard()
    const userId = freshId()
    const rename = (displayName: string) =>
      client.PUT('/api/users/{userId}', { params: { path: { userId } }, body: { displayName, country: 'GB' } })
    await watching(`/api/leaderboards/${leaderboard}/stream`, async (watch, network) => {
      await watch.until('a snapshot', () => watch.all('leaderboard').length > 0)
      await score(action, userId)
      await rename('Ada')
      await watch.until('the first name', () => watch.all('user-changed').length >= 1)
      await network.cutWhile(async () => void (await rename('Ada B.')))
      const last = await score(action, userId)
      await watch.until('the last score', () => watch.all('score-updated').at(-1)?.version === last.version)
      assert.deepEqual(watch.all('user-changed').map((event) => [event.displayName, event.country, event.avatarUrl]), [
        ['Ada', 'GB', null],
        ['Ada B.', 'GB', null],
      ])
      assert.equal(watch.all('score-updated').at(-1)?.since, watch.all('user-changed').at(-1)?.version)
    })
  })

  test(`${library}: one user's place, and several leaderboards in one connection`, async () => {
    const [one, other] = [await freshLeaderboard(), await freshLeaderboard()]
    await watching(`/api/leaderboards/${one.leaderboard}/stream?view=user&userId=ann&hz=20`, async (watch) => {
      await watch.until('no place', () => watch.all('standing').at(-1)?.entry === null)
      await score(one.action, 'ann')
      await watch.until('the first place', () => watch.all('standing').at(-1)?.entry?.rank === 1)
    })
    await watching(`/api/stream?leaderboards=${one.leaderboard},${other.leaderboard}&hz=20`, async (watch) => {
      await watch.until('two snapshots', () => new Set(watch.all('leaderboard').map((event) => event.leaderboardId)).size === 2)
      await score(other.action, 'ben')
      await watch.until('the score', () =>
        watch.all('leaderboard-patch').some((patch) => patch.leaderboardId === other.leaderboard && patch.rows[0]?.userId === 'ben'),
      )
    })
  })
}

describe('client libraries follow the streams', { concurrency: true }, () => {
  for (const [library, follow] of Object.entries(libraries)) follows(library, follow)
})

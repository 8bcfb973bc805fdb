// A leaderboard's life through the client that openapi-typescript and openapi-fetch make of openapi.yaml. That this compiles as
// strictly as it can is half of the test.

import assert from 'node:assert/strict'
import { test } from 'node:test'

import { anonymous, client, freshId, freshLeaderboard, score, type Schemas } from './client.js'

test('an action has fixed points or a value range, and says which', async () => {
  const { leaderboard, action } = await freshLeaderboard()
  const fixed = await client.GET('/api/actions/{id}', { params: { path: { id: action } } })
  assert.equal(fixed.data?.points, 10)
  assert.equal(fixed.data?.value, null)

  const body: Schemas['NewAction'] = { id: freshId(), leaderboards: [leaderboard], value: { min: 0, max: 100 } }
  const ranged = await client.POST('/api/actions', { body })
  assert.equal(ranged.response.status, 201)
  assert.equal(ranged.response.headers.get('location'), `/api/actions/${body.id}`)
  const range: Schemas['ValueRange'] | null | undefined = ranged.data?.value
  assert.deepEqual(range, { min: 0, max: 100 })

  const limited = await client.PATCH('/api/actions/{id}', {
    params: { path: { id: body.id } },
    body: { points: 5, limit: { count: 2, perSeconds: 60 } },
  })
  assert.equal(limited.data?.points, 5)
  assert.equal(limited.data?.value, null)
  assert.equal(limited.data?.limit?.perSeconds, 60)
})

test('a score with a key counts once, and its receipt tells everything', async () => {
  const { leaderboard, action } = await freshLeaderboard()
  const submit = () =>
    client.POST('/api/scores', {
      params: { header: { 'Idempotency-Key': `key-${action}` } },
      body: { actionId: action, userId: 'ann', metadata: { match: 'm-9', laps: [1, 2.5, null] } },
    })
  const first = await submit()
  const again = await submit()
  assert.ok(first.data)
  assert.deepEqual(again.data, first.data)
  assert.equal(again.response.headers.get('idempotency-replayed'), 'true')
  assert.equal(first.data.newScore, 10)
  assert.equal(first.data.previousScore, null)
  assert.equal(first.data.standings[0]?.leaderboardId, leaderboard)
  assert.ok(first.data.version, 'the ranking is there')

  const window = await anonymous.GET('/api/leaderboards/{id}/entries', {
    params: { path: { id: leaderboard }, query: { minVersion: first.data.version } },
  })
  assert.deepEqual(window.data?.entries.map((entry) => [entry.rank, entry.userId, entry.score]), [[1, 'ann', 10]])

  const history = await anonymous.GET('/api/users/{userId}/scores', {
    params: { path: { userId: 'ann' }, query: { leaderboardId: leaderboard } },
  })
  const metadata: Record<string, unknown> | null | undefined = history.data?.scores[0]?.metadata
  assert.deepEqual(metadata, { match: 'm-9', laps: [1, 2.5, null] })

  const latest = await anonymous.GET('/api/leaderboards/{id}/scores', { params: { path: { id: leaderboard }, query: { limit: 5 } } })
  assert.equal(latest.data?.version, first.data.version)
  assert.deepEqual(latest.data?.scores.map((score) => [score.eventId, score.rank]), [[first.data.eventId, 1]])
})

test('the items of a batch are told apart by their status', async () => {
  const { action } = await freshLeaderboard()
  const { data } = await client.POST('/api/scores/batch', {
    body: {
      submissions: [
        { actionId: action, userId: 'ann', idempotencyKey: `key-${action}` },
        { actionId: action, userId: 'ben', value: 3 },
      ],
    },
  })
  const told = data?.results.map((item) =>
    item.status === 200 ? `${item.body.userId} has ${item.body.newScore}` : `${item.body.status} ${item.body.errors?.[0]?.field}`,
  )
  assert.deepEqual(told, ['ann has 10', '422 value'])
})

test('places are read around a user, among friends and page by page', async () => {
  const { leaderboard, action } = await freshLeaderboard()
  for (const user of ['ann', 'ben', 'ben', 'cem', 'cem', 'cem']) await score(action, user)
  const path = { id: leaderboard }

  const place = await anonymous.GET('/api/leaderboards/{id}/entries/{userId}', {
    params: { path: { ...path, userId: 'ben' }, query: { around: 1 } },
  })
  const answer = place.data
  assert.ok(answer && 'percentile' in answer, 'a hidden entry has none')
  assert.equal(answer.entry.rank, 2)
  assert.equal(answer.percentile, 50)
  assert.deepEqual(answer.around.map((entry) => entry.userId), ['cem', 'ben', 'ann'])

  const friends = await anonymous.POST('/api/leaderboards/{id}/entries/query', {
    params: { path },
    body: { userIds: ['ann', 'cem', 'nobody'] },
  })
  assert.deepEqual(friends.data?.entries.map((entry) => [entry.position, entry.rank, entry.userId]), [[1, 1, 'cem'], [2, 3, 'ann']])

  const second = await anonymous.GET('/api/leaderboards/{id}/entries', { params: { path, query: { fromRank: 2, limit: 1 } } })
  assert.deepEqual(second.data?.entries.map((entry) => entry.userId), ['ben'])
  const etag = second.response.headers.get('etag')
  assert.ok(etag)
  const unchanged = await anonymous.GET('/api/leaderboards/{id}/entries', {
    params: { path, query: { fromRank: 2, limit: 1 }, header: { 'If-None-Match': etag } },
  })
  assert.equal(unchanged.response.status, 304)
})

test('a refusal is a problem document whose fields have types', async () => {
  const { action } = await freshLeaderboard()
  const refused = await client.POST('/api/scores', { body: { actionId: action, userId: '' } })
  assert.equal(refused.data, undefined)
  const problem: Schemas['Problem'] | undefined = refused.error
  assert.equal(problem?.status, 422)
  assert.equal(problem.errors?.[0]?.field, 'userId')

  const unknown = await client.GET('/api/leaderboards/{id}', { params: { path: { id: freshId() } } })
  assert.equal(unknown.error?.status, 404)
  const nobody = await anonymous.POST('/api/scores', { body: { actionId: action, userId: 'ann' } })
  assert.equal(nobody.error?.status, 401)
})

test('a leaderboard and a profile are changed, and the leaderboard goes', async () => {
  const { leaderboard, action } = await freshLeaderboard()
  const path = { id: leaderboard }
  const user = freshId()
  await score(action, user)
  const profile = await client.PUT('/api/users/{userId}', {
    params: { path: { userId: user } },
    body: { displayName: 'Ada', country: 'GB', metadata: { team: 'blue' } },
  })
  assert.equal(profile.data?.displayName, 'Ada')
  assert.deepEqual(profile.data?.metadata, { team: 'blue' })

  const renamed = await client.PATCH('/api/leaderboards/{id}', { params: { path }, body: { name: 'Finals' } })
  assert.equal(renamed.data?.name, 'Finals')
  const listed = await client.GET('/api/leaderboards')
  const mine = listed.data?.leaderboards.find((one) => one.id === leaderboard)
  assert.deepEqual([mine?.name, mine?.season, mine?.total], ['Finals', 1, 1])

  const gone = await client.DELETE('/api/leaderboards/{id}', { params: { path } })
  assert.equal(gone.response.status, 204)
  const missing = await client.GET('/api/leaderboards/{id}', { params: { path } })
  assert.equal(missing.error?.status, 404)
})

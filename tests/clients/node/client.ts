// A client of the running server, typed by what openapi-typescript made of openapi.yaml; and what a test makes to have a
// leaderboard of its own.

import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'

import createClient from 'openapi-fetch'

import type { components, paths } from './api.js'

export type Schemas = components['schemas']

export const baseUrl = required('SCOREBOARD_URL')
export const token = required('SCOREBOARD_TOKEN')
export const client = createClient<paths>({ baseUrl, headers: { Authorization: `Bearer ${token}` } })
export const anonymous = createClient<paths>({ baseUrl })

function required(name: string): string {
  const value = process.env[name]
  assert.ok(value, `${name} is not set: tests/clients/run sets it`)
  return value
}

// Ids are the server's: each test has its own, so that all may run at once.
export function freshId(): string {
  return `t-${randomUUID()}`
}

// A leaderboard, and an action of ten points that feeds it.
export async function freshLeaderboard(): Promise<{ leaderboard: string; action: string }> {
  const [leaderboard, action] = [freshId(), freshId()]
  const made = await client.POST('/api/leaderboards', { body: { id: leaderboard } })
  assert.equal(made.response.status, 201)
  const rule = await client.POST('/api/actions', { body: { id: action, leaderboards: [leaderboard], points: 10 } })
  assert.equal(rule.response.status, 201)
  return { leaderboard, action }
}

export async function score(actionId: string, userId: string): Promise<Schemas['ScoreReceipt']> {
  const { data, error } = await client.POST('/api/scores', { body: { actionId, userId } })
  assert.ok(data, JSON.stringify(error))
  return data
}

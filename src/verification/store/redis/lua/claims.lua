-- Idempotency keys: a claim is { key, payload }, and what is kept is the payload, the time and the answer, which is false while
-- it is being made.
local CLAIM_LIFE, CLAIM_LEASE = DAY, 30 * 1000

-- nil: free. Otherwise what to answer.
local function claimed(claim, when_in_flight)
    local text = claim and redis.call('GET', base .. ':i:' .. claim[1])
    if not text then
        return nil
    end
    local payload, at, answer = cmsgpack.unpack(text)
    if now >= at + CLAIM_LIFE then
        return nil
    elseif payload ~= claim[2] then
        return { 'REUSED' }
    elseif answer then
        return { 'REPLAYED', answer }
    elseif now < at + CLAIM_LEASE then
        return when_in_flight
    end
end

local function keep(claim, answer)
    if claim then
        redis.call('SET', base .. ':i:' .. claim[1], cmsgpack.pack(claim[2], now, answer), 'PX', CLAIM_LIFE)
    end
end

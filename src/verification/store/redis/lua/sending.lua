-- Messages that the shortest quota leaves, and microseconds to the next.
local function remaining(rule, values)
    local left
    for i = 1, #rule[2], 2 do
        local free = math.max(rule[2][i] - within(values, rule[2][i + 1], now), 0)
        left = math.min(left or free, free)
    end
    return left or 0, (windows_wait(rule, values))
end

-- Another message of a row: what became of the last one is history. A provider that made the code is still the one to ask.
local function queue_again(row, channel, replica)
    row.sends, row.channel, row.delivery, row.queued = row.sends + 1, channel, 'queued', now
    if row.code_by ~= 'provider' then
        row.provider, row.reference, row.held = nil, nil, nil
    end
    enqueue(row, replica)
end

-- What a snapshot is made of, now and when the key comes again. The seed and the tag stay in the row.
local function sending_answer(claim, row, rule)
    local left, wait = remaining(rule, read_bucket(bucket_name('w', row.window)))
    keep(claim, { { row.id, row.state, row.fixed, '' }, left, wait, now })
    return { 'QUEUED', { shown(row), left, wait, now } }
end

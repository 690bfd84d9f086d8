local answered = claimed(nil)
if answered then
    return answered
end
local id, replica, retention, oldest_index = argument(), argument(), number(), argument()
local rearm, least, origin, sends = argument() == '1', number(), argument(), rule_of(argument())
local row = { id = id, values = {}, changed = {} }
for i, word in ipairs(WORDS) do
    if word ~= 'held' and word ~= 'replica' then
        local text = argument()
        if text ~= '' then
            row[word] = NUMBERS[word] and tonumber(text) or text
            row.values[i] = text
        end
    end
end
local takes = read_takes()

local armed = rearm and newest_pending(row.pending) or nil
if armed then
    local lives = armed.code_by == 'provider' or math.max(armed.expires - now, 0) >= least
    if not (lives and armed.code_by ~= 'caller' and armed.code_by == row.code_by and armed.subject == row.subject) then
        armed = nil
    end
end
local limited = take_all(takes)
if limited then
    return limited
end
if armed then
    set(armed, 'sends', armed.sends + 1)
    set(armed, 'channel', row.channel)
    set(armed, 'delivery', 'queued')
    forget_delivery(armed)
    set(armed, 'queued', now)
    enqueue(armed, replica)
    transition(armed, 'verification.resent', origin, row.channel)
    return sending_answer(armed, sends)
end
enqueue(row, replica)
for i, field in ipairs(FIELDS) do
    if row.values[i] and WORDS[i] ~= 'replica' then
        row.changed[#row.changed + 1] = { field, row.values[i] }
    end
end
save(row)
redis.call('PEXPIRE', row_name(id), whole(retention))
append(row, 'verification.started', origin, row.channel)
redis.call('PEXPIRE', base .. ':e:' .. id, whole(retention))
enter_pending(row)
local index = base .. ':d:' .. row.index
redis.call('ZREMRANGEBYLEX', index, '-', '(' .. oldest_index)
redis.call('ZADD', index, 0, id)
redis.call('PEXPIRE', index, whole(retention))
redis.call('ZADD', base .. ':t', whole(row.created), id)
redis.call('PEXPIRE', base .. ':t', whole(retention))
return sending_answer(row, sends)

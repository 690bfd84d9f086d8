-- Some of what a dead replica left: each goes to one caller only.
local replica, me, after, limit = cmsgpack.unpack(ARGV[2])
if replica ~= me and tonumber(redis.call('HGET', base .. ':h', replica) or '0') > now then
    return { 'OK', {}, '' }
end
local entries = redis.call('ZRANGEBYLEX', queue, '(' .. replica .. after, '(' .. replica .. '~', 'LIMIT', 0, limit)
local rows, last = {}, ''
for _, entry in ipairs(entries) do
    last = string.sub(entry, 33)
    local row = read_row(last)
    if row and row.delivery == 'queued' and status_of(row) == 'pending' then
        if replica ~= me then
            enqueue(row, me)
            save(row)
        end
        rows[#rows + 1] = shown(row)
    else
        redis.call('ZREM', queue, entry)
    end
end
return { 'OK', rows, #entries < limit and '' or last }

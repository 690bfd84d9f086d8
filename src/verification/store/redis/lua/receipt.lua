local id, message, provider, kind, delivery, detail = cmsgpack.unpack(ARGV[2])
local row = read_row(id)
if not row or row.sends ~= message or not may_become(row, delivery) then
    return { 'NO' }
end
-- One provider was silent, the next one took the message: that the first one failed is no news then.
if delivery == 'failed' and row.provider and row.provider ~= provider then
    return { 'NO' }
end
row.delivery = delivery
if delivery == 'failed' then
    give_back(row.window, row.queued)
end
dequeue(row)
transition(row, kind, {}, detail)
return { 'YES', shown(row) }

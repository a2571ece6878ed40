// Writes the batches of Kafka's own encoder and hashes of its own partitioner; see README.md. Takes the folder to write to.

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.record.CompressionType;
import org.apache.kafka.common.record.MemoryRecords;
import org.apache.kafka.common.record.Record;
import org.apache.kafka.common.record.SimpleRecord;
import org.apache.kafka.common.utils.Utils;

public class MakeJava {
    static final String[] CARRIERS = {"UA", "AA", "B6", "DL"};

    static byte[] utf8(String s) {
        return s.getBytes(StandardCharsets.UTF_8);
    }

    static List<SimpleRecord> records() {
        List<SimpleRecord> out = new ArrayList<>();
        out.add(new SimpleRecord(1700000000000L, utf8("k0"), utf8("v0"), new Header[0]));
        out.add(new SimpleRecord(1700000000005L, null, utf8(""), new Header[] {
            new RecordHeader("a", utf8("1")), new RecordHeader("a", (byte[]) null), new RecordHeader("\u00e4", utf8(""))}));
        out.add(new SimpleRecord(1699999999990L, utf8(""), null, new Header[0]));
        for (int i = 3; i < 40; i++) {
            String value = "{\"flight\":" + i + ",\"carrier\":\"" + CARRIERS[i % 4] + "\"}";
            Header[] headers = i % 5 == 0 ? new Header[] {new RecordHeader("trace", new byte[] {(byte) i})} : new Header[0];
            out.add(new SimpleRecord(1700000000000L + i * 17L, utf8("N" + i + "SW"), utf8(value.repeat(4)), headers));
        }
        return out;
    }

    public static void main(String[] args) throws Exception {
        Path folder = Path.of(args[0]);
        SimpleRecord[] records = records().toArray(new SimpleRecord[0]);
        for (CompressionType type : CompressionType.values()) {
            Compression codec = Compression.of(type).build();
            ByteBuffer buffer = MemoryRecords.withIdempotentRecords(codec, 4711L, (short) 3, 12, records).buffer();
            byte[] bytes = new byte[buffer.remaining()];
            buffer.get(bytes);
            Files.write(folder.resolve("java-" + type.name + ".batch"), bytes);
        }
        StringBuilder hashes = new StringBuilder("# key in hex, murmur2 as a signed number, made positive mod 4, mod 7\n");
        List<byte[]> keys = new ArrayList<>();
        for (String key : new String[] {"", "a", "ab", "abc", "abcd", "abcde", "21", "foobar", "N725MQ", "\u00e4\u20ac"}) {
            keys.add(utf8(key));
        }
        keys.add(new byte[] {(byte) 0xff, (byte) 0x80, 0, (byte) 0xfe, (byte) 0x81, (byte) 0xff, (byte) 0xc3});
        for (int i = 0; i < 64; i++) {
            keys.add(utf8("key-" + i * 7919));
        }
        for (byte[] key : keys) {
            int hash = Utils.murmur2(key);
            StringBuilder hex = new StringBuilder("\"");
            for (byte b : key) {
                hex.append(String.format("%02x", b));
            }
            int positive = Utils.toPositive(hash);
            hashes.append(hex).append("\" ").append(hash).append(' ').append(positive % 4).append(' ').append(positive % 7).append('\n');
        }
        Files.writeString(folder.resolve("murmur2.txt"), hashes.toString());
        for (int i = 1; i < args.length; i++) {
            MemoryRecords read = MemoryRecords.readableRecords(ByteBuffer.wrap(Files.readAllBytes(Path.of(args[i]))));
            int n = 0;
            for (var batch : read.batches()) {
                batch.ensureValid();
                for (Record record : batch) {
                    n++;
                }
            }
            System.out.println(args[i] + ": " + n + " records");
        }
    }
}

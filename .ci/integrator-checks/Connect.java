import com.fasterxml.jackson.core.type.TypeReference;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.File;
import java.util.Map;
import org.apache.kafka.common.utils.Time;
import org.apache.kafka.connect.connector.policy.NoneConnectorClientConfigOverridePolicy;
import org.apache.kafka.connect.json.JsonConverter;
import org.apache.kafka.connect.runtime.Worker;
import org.apache.kafka.connect.runtime.isolation.Plugins;
import org.apache.kafka.connect.runtime.standalone.StandaloneConfig;
import org.apache.kafka.connect.runtime.standalone.StandaloneHerder;
import org.apache.kafka.connect.storage.FileOffsetBackingStore;

/**
 * A worker of Kafka Connect with one connector, as connect-standalone.sh starts it, without the server of its REST interface,
 * some of whose libraries do not come with Debezium. Arguments: the broker, the file of the connector's configuration, the file
 * of its offsets.
 */
class Connect {
    public static void main(String[] arguments) throws Exception {
        Map<String, String> settings = Map.of(
            "bootstrap.servers", arguments[0],
            "offset.storage.file.filename", arguments[2],
            "offset.flush.interval.ms", "100",
            "plugin.discovery", "service_load",
            "key.converter", "org.apache.kafka.connect.json.JsonConverter",
            "value.converter", "org.apache.kafka.connect.json.JsonConverter");
        var connector = new ObjectMapper().readValue(new File(arguments[1]), new TypeReference<Map<String, String>>() {});
        var plugins = new Plugins(settings);
        plugins.compareAndSwapWithDelegatingLoader();
        var config = new StandaloneConfig(settings);
        var converter = new JsonConverter();
        converter.configure(Map.of("schemas.enable", "false"), true);
        var offsets = new FileOffsetBackingStore(converter);
        offsets.configure(config);
        var policy = new NoneConnectorClientConfigOverridePolicy();
        var worker = new Worker("worker", Time.SYSTEM, plugins, config, offsets, policy);
        var herder = new StandaloneHerder(worker, "cluster", policy);
        herder.start();
        herder.ready();
        herder.putConnectorConfig(connector.get("name"), connector, false, (error, created) -> {
            if (error != null) {
                System.err.println(error);
                System.exit(1);
            }
        });
    }
}

import org.apache.solr.embedded.JettyConfig;
import org.apache.solr.embedded.JettySolrRunner;

/** Serves the Solr home given first on the port given second of 127.0.0.1, until it is told to end (SIGTERM). */
class Launcher {
  public static void main(String[] args) throws Exception {
    JettyConfig config =
        JettyConfig.builder().setContext("/solr").setPort(Integer.parseInt(args[1])).stopAtShutdown(true).build();
    JettySolrRunner solr = new JettySolrRunner(args[0], config);
    Runtime.getRuntime().addShutdownHook(new Thread(() -> {
      try {
        solr.stop();
      } catch (Exception error) {
        error.printStackTrace();
      }
    }));
    solr.start();
    Thread.currentThread().join();
  }
}

#include "net/tls_bio.h"

#include <openssl/bio.h>

#include <algorithm>
#include <cstring>

namespace portunus::net {
namespace {

TlsWire& wire_of(BIO* bio) {
  return *static_cast<TlsWire*>(BIO_get_data(bio));
}

int read_wire(BIO* bio, char* buffer, std::size_t size, std::size_t* count) {
  BIO_clear_retry_flags(bio);
  std::span<const char>& in = wire_of(bio).in;
  if (in.empty()) {
    BIO_set_retry_read(bio);
    return 0;
  }
  *count = std::min(size, in.size());
  std::memcpy(buffer, in.data(), *count);
  in = in.subspan(*count);
  return 1;
}

int write_wire(BIO* bio, const char* bytes, std::size_t size, std::size_t* count) {
  BIO_clear_retry_flags(bio);
  wire_of(bio).out->append(std::span(bytes, size));
  *count = size;
  return 1;
}

// OpenSSL asks a BIO many things; only a flush has to succeed.
long control_wire(BIO* /*bio*/, int command, long /*number*/, void* /*pointer*/) {
  return command == BIO_CTRL_FLUSH ? 1 : 0;
}

BIO_METHOD* make_method() {
  BIO_METHOD* method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "portunus");
  if (method == nullptr) return nullptr;
  BIO_meth_set_read_ex(method, &read_wire);
  BIO_meth_set_write_ex(method, &write_wire);
  BIO_meth_set_ctrl(method, &control_wire);
  return method;
}

}  // namespace

bio_st* make_tls_bio(TlsWire& wire) {
  static BIO_METHOD* const method = make_method();
  BIO* bio = method == nullptr ? nullptr : BIO_new(method);
  if (bio == nullptr) return nullptr;
  BIO_set_data(bio, &wire);
  BIO_set_init(bio, 1);
  return bio;
}

}  // namespace portunus::net

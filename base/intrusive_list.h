// A doubly linked list through a hook in the element: no allocation, O(1) removal, an element
// unlinks itself when it is destroyed. Owns nothing. One thread. The Tag lets one object sit in
// several lists.
#pragma once

#include <cstddef>

namespace portunus::base {

template <typename Tag = void>
class ListHook {
 public:
  ListHook() = default;
  ~ListHook() { unlink(); }
  ListHook(const ListHook&) = delete;
  ListHook& operator=(const ListHook&) = delete;

  [[nodiscard]] bool is_linked() const { return next_ != nullptr; }
  void unlink() {
    if (next_ == nullptr) return;
    prev_->next_ = next_;
    next_->prev_ = prev_;
    prev_ = next_ = nullptr;
  }

 private:
  template <typename T, typename U>
  friend class IntrusiveList;
  ListHook* prev_ = nullptr;
  ListHook* next_ = nullptr;
};

// T derives from ListHook<Tag>.
template <typename T, typename Tag = void>
class IntrusiveList {
 public:
  using Hook = ListHook<Tag>;

  IntrusiveList() { root_.prev_ = root_.next_ = &root_; }
  ~IntrusiveList() {
    clear();
    root_.prev_ = root_.next_ = nullptr;
  }
  IntrusiveList(const IntrusiveList&) = delete;
  IntrusiveList& operator=(const IntrusiveList&) = delete;

  [[nodiscard]] bool empty() const { return root_.next_ == &root_; }
  [[nodiscard]] T* front() { return empty() ? nullptr : element(root_.next_); }
  [[nodiscard]] T* back() { return empty() ? nullptr : element(root_.prev_); }
  // The element after `item`, or null at the end.
  [[nodiscard]] T* next(T& item) {
    Hook* hook = static_cast<Hook&>(item).next_;
    return hook == &root_ ? nullptr : element(hook);
  }
  void push_back(T& item) { insert_before(root_, item); }
  void push_front(T& item) { insert_before(*root_.next_, item); }
  T* pop_front() {
    T* item = front();
    if (item != nullptr) static_cast<Hook*>(item)->unlink();
    return item;
  }
  T* pop_back() {
    T* item = back();
    if (item != nullptr) static_cast<Hook*>(item)->unlink();
    return item;
  }
  void clear() {
    while (pop_front() != nullptr) {
    }
  }
  // Moves all of `other` to the end of this list, in O(1).
  void take_all(IntrusiveList& other) {
    if (other.empty()) return;
    Hook* first = other.root_.next_;
    Hook* last = other.root_.prev_;
    other.root_.prev_ = other.root_.next_ = &other.root_;
    first->prev_ = root_.prev_;
    root_.prev_->next_ = first;
    last->next_ = &root_;
    root_.prev_ = last;
  }

 private:
  static T* element(Hook* hook) { return static_cast<T*>(hook); }
  static void insert_before(Hook& place, T& item) {
    Hook& hook = static_cast<Hook&>(item);
    hook.unlink();
    hook.next_ = &place;
    hook.prev_ = place.prev_;
    place.prev_->next_ = &hook;
    place.prev_ = &hook;
  }

  Hook root_;
};

}  // namespace portunus::base

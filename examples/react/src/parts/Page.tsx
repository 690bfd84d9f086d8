import { type ReactNode, useEffect, useRef } from "react";
import { useLocation } from "react-router";

type Props = { title: string; children: ReactNode };

/**
 * What every page is: a heading that also names the window. A browser moves the focus when a page is loaded; with a router
 * nothing does, and whoever cannot see the screen would not notice the new page.
 */
export function Page({ title, children }: Props) {
  const heading = useRef<HTMLHeadingElement>(null);
  const isFirst = useLocation().key === "default";

  useEffect(() => {
    document.title = `${title} · Countersign example`;
    // A page may have put the focus into its one field already.
    const hasFocus = heading.current?.parentElement?.contains(document.activeElement);
    if (!isFirst && !hasFocus) heading.current?.focus();
  }, [title, isFirst]);

  return (
    <section className="page">
      <h1 ref={heading} tabIndex={-1}>
        {title}
      </h1>
      {children}
    </section>
  );
}
